/** What a profile lists of one user's phones (`sofia xmlstatus profile … user …`), as show_reg_callback_xml writes it. */
import type { Registration } from './registrar';

export function profileXml(registrations: readonly Registration[]): string {
  const entries = registrations.map((r) =>
    [
      '    <registration>',
      `        <call-id>${r.sipCallId}</call-id>`,
      `        <user>${r.username}@${r.domain}</user>`,
      `        <contact>&quot;&quot; &lt;${r.uri}&gt;</contact>`,
      `        <network-ip>${r.address}</network-ip>`,
      `        <network-port>${r.port}</network-port>`,
      '    </registration>\n',
    ].join('\n'),
  );
  return `<profile>\n  <registrations>\n${entries.join('')}  </registrations>\n</profile>\n`;
}
