/** Strings that people type by accident or on purpose, for every place that text goes to. */
export const HOSTILE: readonly string[] = [
  '${system(touch x)}',
  '$${base_dir}',
  '$$${base_dir}',
  '$\u0000{system(touch x)}',
  '$\n{system(touch x)}',
  'ends in $',
  '\\${system(touch x)}',
  '"><x/>',
  "'/><action application='system' data='touch x'/>",
  ']]><!-- <!--#include "x"--> <?xml version="1.0"?>',
  '<X-PRE-PROCESS cmd="exec" data="touch x"/>',
  'my x-pre-process name',
  'X-Pre-Process x-PRE-process',
  '<include></include>',
  '&amp; &#36;{x} &lt; &amp;#36;{x} &#x24;{x}',
  'Jos%E9 %d %s %n',
  'Zoë 👩‍🚀 שלום',
  'lone \ud800 surrogate \udc00',
  'line\r\nX-Evil: 1\r\n\r\nbody',
  'tab\tnul\u0000bell\u0007\u0085\u2028end',
  '[origination_uuid=1]{a=b}|,^^:c',
  '',
];

/** Strings put together from the pieces that matter, the same ones in every run. */
export function hostileMixes(count: number): string[] {
  const pieces = [
    '$',
    '{',
    '}',
    '$${',
    '<',
    '>',
    '"',
    "'",
    '&',
    '-',
    'x-pre-process',
    '<?',
    '\n',
    '\u0000',
    '\\',
    'é',
    '😀',
    ' ',
    'a',
    '\ud83d',
  ];
  let state = 42;
  const next = (below: number): number => {
    state = (state * 1103515245 + 12345) & 0x7fffffff;
    return Math.floor((state / 0x80000000) * below);
  };
  return Array.from({ length: count }, () =>
    Array.from({ length: next(12) }, () => pieces[next(pieces.length)]).join(''),
  );
}

/** What must hold for every answer, whatever went in: the node's preprocessor finds nothing to act on. */
export function expectInert(xml: string): void {
  expect(xml).not.toMatch(/\$\$\{/);
  expect(xml).not.toMatch(/x-pre-process/i);
  expect(xml).not.toContain('<?');
  expect(xml).not.toContain('<!');
  expect(xml).not.toContain('<include>');

  expect(xml).not.toMatch(/[\u0000-\u001f]/);
}
