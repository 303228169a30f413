/** `isValidIp`. Depends on `node:net`. */
import { isIPv4, isIPv6 } from "node:net";

/**
 * Whether `ip` is a well-formed literal: IPv4 of four decimal numbers, or IPv6, also with a zone (`fe80::1%eth0`). Forms that only the C library
 * takes for addresses (`127.1`, `0x7f.1`) are none, and what is no string is not either. Tornado: `is_valid_ip`.
 */
export function isValidIp(ip: string): boolean {
  // Node's own check reads some of these as a C string, which ends at a NUL, or lets anything through as a zone; that depends on its version.
  if (typeof ip !== "string" || !/^[0-9a-fA-F:.]+(%[\w.-]+)?$/.test(ip)) return false;
  const [literal = "", zone] = ip.split("%");
  return isIPv6(literal) || (zone === undefined && isIPv4(literal));
}
