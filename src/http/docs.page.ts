/** Writes the page of /docs from the OpenAPI document. */
import type { OpenApiDocument } from './openapi';

export function renderDocs(document: OpenApiDocument, style: string): string {
  return `<!doctype html><style>${style}</style><h1>${String(document.info.title)}</h1>`;
}
