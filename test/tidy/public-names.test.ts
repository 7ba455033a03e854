/** Every public name says what it is: exports of the door, and the methods of exported classes. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import ts from 'typescript';
import { describe, expect, it } from 'vitest';

const source = join(import.meta.dirname, '..', '..', 'src');

function parse(path: string): ts.SourceFile {
  return ts.createSourceFile(path, readFileSync(path, 'utf8'), ts.ScriptTarget.Latest, true);
}

/** What the door exports, by the file it comes from. */
function exported(): Map<string, string[]> {
  const names = new Map<string, string[]>();
  for (const statement of parse(join(source, 'index.ts')).statements) {
    if (!ts.isExportDeclaration(statement) || statement.exportClause === undefined) continue;
    if (!ts.isNamedExports(statement.exportClause)) throw new Error('the door exports names one by one');
    const path = join(source, (statement.moduleSpecifier as ts.StringLiteral).text);
    const list = statement.exportClause.elements.map(({ propertyName, name }) => (propertyName ?? name).text);
    names.set(path, [...(names.get(path) ?? []), ...list]);
  }
  return names;
}

const hasWords = (node: ts.Node): boolean =>
  ts.getJSDocCommentsAndTags(node).some((doc) => ts.isJSDoc(doc) && doc.getText().replace(/[/*\s]/g, '').length > 0);

function declarationsOf(file: ts.SourceFile, name: string): ts.Node[] {
  return file.statements.flatMap((statement): ts.Node[] => {
    if (ts.isVariableStatement(statement)) {
      const isIt = statement.declarationList.declarations.some((declaration) => declaration.name.getText() === name);
      return isIt ? [statement] : [];
    }
    const isDeclaration =
      ts.isClassDeclaration(statement) ||
      ts.isInterfaceDeclaration(statement) ||
      ts.isTypeAliasDeclaration(statement) ||
      ts.isFunctionDeclaration(statement);
    return isDeclaration && statement.name?.text === name ? [statement] : [];
  });
}

/** Methods that say nothing; `...Sync` beside a method that does speaks for itself, and so do overloads of one that does. */
function silentMethods(node: ts.Node): string[] {
  if (!ts.isClassDeclaration(node)) return [];
  const methods = node.members.filter(ts.isMethodDeclaration).filter(({ name, modifiers }) => {
    const isHidden = modifiers?.some(({ kind }) =>
      [ts.SyntaxKind.PrivateKeyword, ts.SyntaxKind.ProtectedKeyword].includes(kind),
    );
    return ts.isIdentifier(name) && isHidden !== true;
  });
  const told = new Set(methods.filter(hasWords).map((method) => method.name.getText()));
  const silent = methods.map((method) => method.name.getText()).filter((name) => !told.has(name));
  return [...new Set(silent)].filter((name) => !(name.endsWith('Sync') && told.has(name.slice(0, -4))));
}

describe('public names', () => {
  it('have docstrings, and so have the methods of public classes', () => {
    const missing: string[] = [];
    for (const [path, names] of exported()) {
      const file = parse(path);
      for (const name of names) {
        const declarations = declarationsOf(file, name);
        if (!declarations.some(hasWords)) missing.push(name);
        for (const method of declarations.flatMap(silentMethods)) missing.push(`${name}.${method}`);
      }
    }
    expect(missing).toEqual([]);
  });
});
