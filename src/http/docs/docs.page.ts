/** Writes the page of /docs from the OpenAPI document, so that page and document can't differ. */
import { ERROR_CODES, type ErrorCode } from '../../errors';
import type { Json, JsonObject, OpenApiDocument } from './openapi';

/** A whole HTML page without scripts. */
export function renderDocs(document: OpenApiDocument, style: string): string {
  const routes = Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({ path, method, operation })),
  );
  const byTag = document.tags.map((tag) => ({
    name: text(tag.name),
    routes: routes.filter((r) => (r.operation.tags as string[])[0] === tag.name),
  }));
  const title = text(document.info.title);
  const menu = byTag.map(
    (tag) =>
      `<strong>${esc(tag.name)}</strong>${tag.routes
        .map(
          (r) => `<a href="#${idOf(r.operation)}">${verb(r.method)}<span>${esc(text(r.operation.summary))}</span></a>`,
        )
        .join('')}`,
  );
  const parts = byTag.map((tag) => `<h2>${esc(tag.name)}</h2>${tag.routes.map(renderRoute).join('')}`);
  const schemas = Object.entries(document.components.schemas).map(
    ([name, schema]) =>
      `<section class="route" id="schema-${esc(name)}"><h3>${esc(name)}</h3>${fields(schema as JsonObject, false)}</section>`,
  );
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">
<title>${esc(title)} API</title><style>${style}</style></head><body>
<nav><a class="brand" href="#top">${esc(title)}</a>${menu.join('')}<strong>Reference</strong>
<a href="#objects">Objects</a><a href="#errors">Errors</a><a href="/openapi.json">OpenAPI document</a></nav>
<main id="top"><h1>${esc(title)} API</h1>${paragraphs(text(document.info.description))}
${parts.join('')}<h2 id="objects">Objects</h2>${schemas.join('')}
<h2 id="errors">Errors</h2>${paragraphs('Every failure has this form, as `application/problem+json`. Decide by `code`.')}${errorTable()}
</main></body></html>`;
}

function renderRoute(r: { path: string; method: string; operation: JsonObject }): string {
  const o = r.operation;
  const parameters = (o.parameters as JsonObject[]) ?? [];
  const body = ((o.requestBody as JsonObject | undefined)?.content as JsonObject | undefined)?.['application/json'];
  const groups = (['path', 'query', 'header'] as const)
    .map((place) => {
      const here = parameters.filter((p) => p.in === place);
      if (here.length === 0) return '';
      const name = { path: 'In the path', query: 'In the query', header: 'Headers' }[place];
      return `<h4>${name}</h4>${table(here.map((p) => row(text(p.name), p.schema as JsonObject, p.required === true, text(p.description))))}`;
    })
    .join('');
  return `<section class="route" id="${idOf(o)}"><h3>${esc(text(o.summary))}</h3>
<div class="call">${verb(r.method)}<span class="path">${esc(r.path)}</span><span class="scope">${
    o['x-scope'] === 'admin' ? 'admin keys' : 'admin and domain keys'
  }</span></div>${o.description ? paragraphs(text(o.description)) : ''}${groups}${
    body ? `<h4>Body</h4>${fields((body as JsonObject).schema as JsonObject, true)}` : ''
  }<h4>Answers</h4>${answers(o.responses as JsonObject)}</section>`;
}

function answers(responses: JsonObject): string {
  return table(
    Object.entries(responses).map(([status, given]) => {
      const answer = given as JsonObject;
      const code = typeof answer.$ref === 'string' ? answer.$ref.split('/').at(-1)! : undefined;
      if (code) return cells(`<code>${status}</code>`, `<a href="#error-${code}"><code>${code}</code></a>`);
      const content = Object.entries((answer.content ?? {}) as JsonObject)[0];
      const type = content && Number(status) < 400 ? typeOf((content[1] as JsonObject).schema as JsonObject) : '';
      return cells(
        `<code>${status}</code>`,
        inline(text(answer.description)) + (type && `<span class="type">${type}</span>`),
      );
    }),
  );
}

function fields(schema: JsonObject, input: boolean): string {
  const required = (schema.required as string[] | undefined) ?? [];
  const rows = Object.entries((schema.properties ?? {}) as JsonObject).map(([name, field]) => {
    const f = field as JsonObject;
    return row(name, f, input && required.includes(name), text(f.description));
  });
  return rows.length > 0 ? table(rows) : `<p>${typeOf(schema)}</p>`;
}

function row(name: string, schema: JsonObject, required: boolean, description: string): string {
  const need = required ? '<span class="need">required</span>' : '';
  const usual = schema.default !== undefined ? `, otherwise <code>${esc(JSON.stringify(schema.default))}</code>` : '';
  return cells(
    `<code>${esc(name)}</code>${need}`,
    `${inline(description)}<span class="type">${typeOf(schema)}${usual}</span>`,
  );
}

/** A schema in a few words. */
function typeOf(schema: JsonObject): string {
  if (typeof schema.$ref === 'string') {
    const name = esc(schema.$ref.split('/').at(-1)!);
    return `<a href="#schema-${name}">${name}</a>`;
  }
  if (Array.isArray(schema.anyOf)) return schema.anyOf.map((s) => typeOf(s as JsonObject)).join(' or ');
  if (Array.isArray(schema.enum)) return schema.enum.map((v) => `<code>${esc(String(v))}</code>`).join(' ');
  if (schema.type === 'array') return `list of ${typeOf(schema.items as JsonObject)}`;
  if (schema.type === 'object' && schema.properties) {
    const inner = Object.entries(schema.properties as JsonObject);
    return `{ ${inner.map(([name, s]) => `${esc(name)}: ${typeOf(s as JsonObject)}`).join(', ')} }`;
  }
  const words = [text(schema.format) || text(schema.type) || 'anything'];
  const { minLength: shortest, maxLength: longest, minimum, maximum } = schema;
  if (longest !== undefined)
    words.push(`${shortest !== undefined ? `${text(shortest)} to ` : 'up to '}${text(longest)} characters`);
  if (minimum !== undefined && Number(maximum) < 1e9) words.push(`${text(minimum)} to ${text(maximum)}`);
  return esc(words.join(', '));
}

function errorTable(): string {
  return `<div class="scroll"><table>${(Object.keys(ERROR_CODES) as ErrorCode[])
    .map((code) => {
      const { status, title, fix } = ERROR_CODES[code];
      return `<tr id="error-${code}"><td><code>${code}</code></td><td>${status}</td><td>${esc(title)}. ${esc(fix)}</td></tr>`;
    })
    .join('')}</table></div>`;
}

const table = (rows: string[]) => `<div class="scroll"><table>${rows.join('')}</table></div>`;
const cells = (a: string, b: string) => `<tr><td>${a}</td><td>${b}</td></tr>`;
const verb = (method: string) => `<span class="verb ${method}">${method === 'delete' ? 'del' : method}</span>`;
const idOf = (operation: JsonObject) => esc(text(operation.operationId));
const text = (value: Json | undefined) => (value === undefined || value === null ? '' : String(value as string));
const paragraphs = (words: string) =>
  words
    .split('\n\n')
    .map((p) => `<p>${inline(p)}</p>`)
    .join('');
/** Text with \`code\` in it. */
const inline = (words: string) => esc(words).replace(/`([^`]+)`/g, '<code>$1</code>');

function esc(words: string): string {
  return words.replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`);
}
