/** /docs: the OpenAPI document as a page to read, of one file, with nothing loaded from elsewhere. */
import { createHash } from 'node:crypto';
import type { Express } from 'express';
import { renderDocs } from './docs.page';
import { DOCS_STYLE } from './docs.style';
import type { OpenApiDocument } from './openapi';

/** Renders once, at start. */
export function mountDocs(app: Express, document: OpenApiDocument): void {
  const page = renderDocs(document, DOCS_STYLE);
  const style = createHash('sha256').update(DOCS_STYLE).digest('base64');
  app.get('/docs', (_request, response) => {
    response
      .set('Content-Security-Policy', `default-src 'none'; style-src 'sha256-${style}'; frame-ancestors 'none'`)
      .type('html')
      .send(page);
  });
}
