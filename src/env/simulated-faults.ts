/** Faults on order: which operation of a simulated disk goes wrong, how, and how often. */

import type { Errno } from './io-error.ts';
import type { Operation, OperationKind } from './simulated-trace.ts';

/** What a read gives instead of the truth. */
export type ReadDamage = 'flip' | 'zero' | 'stale' | 'misdirected';
/** What a write does instead of its job, and answers well. */
export type WriteDamage = 'lost' | 'misdirected';

export interface FaultRule {
  /** The kinds it applies to; every kind by default. */
  readonly operation?: OperationKind | readonly OperationKind[];
  /** A part of the path, or a pattern. */
  readonly path?: string | RegExp;
  /** Number of the process. */
  readonly process?: number;
  /** The first of the matching operations to go wrong, counted from 1. Default 1. */
  readonly nth?: number;
  /** How many go wrong from then on; `Infinity` for ever. Default 1. */
  readonly times?: number;
  /** Or this chance for each matching one (then `nth` and `times` still bound it). */
  readonly chance?: number;
  /** The system refuses. A refused write may have written a part; a refused sync has lost what it has lost. */
  readonly error?: Errno;
  readonly readDamage?: ReadDamage;
  readonly writeDamage?: WriteDamage;
  /** A sync that answers well and does nothing: outside of what an engine survives, there to prove that tests notice. */
  readonly syncLies?: boolean;
}

export class Fault {
  readonly rule: FaultRule;
  /** Matching operations seen, and those that went wrong. */
  seen = 0;
  hits = 0;
  active = true;

  constructor(rule: FaultRule) {
    this.rule = rule;
  }

  cancel(): void {
    this.active = false;
  }

  matches(operation: Operation, draw: () => number): boolean {
    const { rule } = this;
    if (!this.active || !matchesKind(rule.operation, operation.kind)) return false;
    if (rule.process !== undefined && rule.process !== operation.process) return false;
    if (rule.path !== undefined && !matchesPath(rule.path, operation.path)) return false;
    this.seen++;
    if (this.seen < (rule.nth ?? 1)) return false;
    if (rule.chance !== undefined && draw() >= rule.chance) return false;
    this.hits++;
    if (this.hits >= (rule.times ?? 1)) this.active = false;
    return true;
  }

  get name(): string {
    const { error, readDamage, writeDamage, syncLies } = this.rule;
    return error ?? readDamage ?? (writeDamage === undefined ? (syncLies === true ? 'lie' : 'none') : writeDamage);
  }
}

function matchesKind(wanted: FaultRule['operation'], kind: OperationKind): boolean {
  if (wanted === undefined) return true;
  return typeof wanted === 'string' ? wanted === kind : wanted.includes(kind);
}

function matchesPath(wanted: string | RegExp, path: string): boolean {
  return typeof wanted === 'string' ? path.includes(wanted) : wanted.test(path);
}
