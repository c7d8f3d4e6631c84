/** The look of /docs; a string of its own, because the page's security policy names its digest. */
export const DOCS_STYLE = '';
