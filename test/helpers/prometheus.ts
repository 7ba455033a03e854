/** A strict reader of Prometheus' text exposition format 0.0.4: throws where anything is not as the format says. */
export interface Sample {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

export interface Family {
  readonly type: string;
  readonly help: string;
  readonly samples: Sample[];
}

const NAME = /^[a-zA-Z_:][a-zA-Z0-9_:]*$/;
const SAMPLE = /^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)$/;
const NUMBER = /^(?:[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?|NaN|[+-]Inf)$/;

export function parseMetrics(text: string): Map<string, Family> {
  if (!text.endsWith('\n')) throw new Error('the last line must end with a line feed');
  const families = new Map<string, Family>();
  let current = '';
  let help: string | undefined;
  for (const line of text.slice(0, -1).split('\n')) {
    const [, keyword, name = '', rest = ''] = /^# (HELP|TYPE) (\S+) (.*)$/.exec(line) ?? [];
    if (keyword === 'HELP') {
      if (!NAME.test(name) || families.has(name)) throw new Error(`a name twice or malformed: ${line}`);
      help = rest;
      current = name;
    } else if (keyword === 'TYPE') {
      if (name !== current || help === undefined) throw new Error(`TYPE without HELP: ${line}`);
      if (!['counter', 'gauge'].includes(rest)) throw new Error(`unknown type: ${line}`);
      families.set(name, { type: rest, help, samples: [] });
      help = undefined;
    } else {
      const sample = parseSample(line);
      if (sample.name !== current) throw new Error(`a sample apart from its family: ${line}`);
      const family = families.get(current) as Family;
      const labels = JSON.stringify(sample.labels);
      if (family.samples.some((one) => JSON.stringify(one.labels) === labels)) throw new Error(`twice: ${line}`);
      family.samples.push(sample);
    }
  }
  return families;
}

function parseSample(line: string): Sample {
  const [, name, labels, value] = SAMPLE.exec(line) ?? [];
  if (name === undefined || value === undefined || !NUMBER.test(value)) throw new Error(`no sample: ${line}`);
  return {
    name,
    labels: labels === undefined ? {} : parseLabels(labels),
    value: Number(value.replace('Inf', 'Infinity')),
  };
}

function parseLabels(text: string): Record<string, string> {
  const labels: Record<string, string> = {};
  for (let at = 0; at < text.length; ) {
    const [all, name, value] = /^([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\[\\"n])*)"(?:,|$)/.exec(text.slice(at)) ?? [];
    if (all === undefined || name === undefined || value === undefined) throw new Error(`no labels: ${text}`);
    if (Object.hasOwn(labels, name)) throw new Error(`a label twice: ${text}`);
    labels[name] = value.replace(/\\(.)/g, (_, one: string) => (one === 'n' ? '\n' : one));
    at += all.length;
  }
  return labels;
}
