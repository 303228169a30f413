/**
 * Certificates for tests, made when they are asked for: no committed key has a date that passes. `node:crypto` signs, and the few lines of DER
 * that a certificate needs are written here (X.509: RFC 5280; DER: X.690), so no program but Node is needed.
 */
import { createHash, generateKeyPairSync, type KeyObject, randomBytes, sign } from "node:crypto";
import { isIP, isIPv6 } from "node:net";

/** A certificate with its key. */
export interface Identity {
  /** PEM. */
  readonly cert: string;
  /** PEM, PKCS#8. */
  readonly key: string;
  /** Its chain: the certificate and those of its issuers, but for the root. PEM. */
  readonly chain: string;
  readonly name: string;
  readonly privateKey: KeyObject;
  readonly publicKey: KeyObject;
}

/** What a certificate says; without an issuer it signs itself. */
export interface CertificateRequest {
  /** The common name. */
  readonly name: string;
  readonly issuer?: Identity;
  /** Names and addresses of the alternative name extension; none for a list without entries. */
  readonly altNames?: readonly string[];
  readonly ca?: boolean;
  /** What it may be used for; anything without it. */
  readonly purpose?: "server" | "client";
  /** Days from now. */
  readonly from?: number;
  readonly until?: number;
}

function der(tag: number, ...contents: Uint8Array[]): Buffer {
  const content = Buffer.concat(contents);
  const size = content.length;
  const bytes = size < 128 ? [size] : size < 256 ? [0x81, size] : [0x82, size >> 8, size & 255];
  return Buffer.concat([Buffer.of(tag, ...bytes), content]);
}

const sequence = (...contents: Uint8Array[]): Buffer => der(0x30, ...contents);
const octets = (content: Uint8Array): Buffer => der(0x04, content);
const TRUE = der(0x01, Buffer.of(0xff));

function oid(dotted: string): Buffer {
  const [first = 0, second = 0, ...rest] = dotted.split(".").map(Number);
  const bytes = [first * 40 + second];
  for (let number of rest) {
    const digits = [number & 127];
    while ((number >>= 7) > 0) digits.unshift((number & 127) | 128);
    bytes.push(...digits);
  }
  return der(0x06, Buffer.from(bytes));
}

function time(days: number): Buffer {
  const text = new Date(Date.now() + days * 86_400_000).toISOString().replace(/[-:T]|\.\d+/g, "");
  return der(0x18, Buffer.from(text));
}

function distinguishedName(common: string): Buffer {
  return sequence(der(0x31, sequence(oid("2.5.4.3"), der(0x0c, Buffer.from(common)))));
}

function alternativeName(name: string): Buffer {
  return isIP(name) === 0 ? der(0x82, Buffer.from(name)) : der(0x87, addressBytes(name));
}

function addressBytes(ip: string): Buffer {
  if (!isIPv6(ip)) return Buffer.from(ip.split(".").map(Number));
  const [head = "", tail = ""] = ip.split("::");
  const groups = (part: string): number[] =>
    part
      .split(":")
      .filter(Boolean)
      .map((each) => parseInt(each, 16));
  const [before, after] = [groups(head), groups(tail)];
  const all = [...before, ...Array<number>(8 - before.length - after.length).fill(0), ...after];
  return Buffer.from(all.flatMap((each) => [each >> 8, each & 255]));
}

function extension(id: string, critical: boolean, value: Uint8Array): Buffer {
  return sequence(oid(id), ...(critical ? [TRUE] : []), octets(value));
}

const ECDSA_SHA256 = sequence(oid("1.2.840.10045.4.3.2"));

/** Makes a certificate. A key costs 0.1 ms. */
export function makeCertificate(request: CertificateRequest): Identity {
  const { name, issuer, altNames = [name], ca = false, purpose, from = -1, until = 365 } = request;
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const signer = issuer ?? { privateKey, publicKey, name, chain: "" };
  const keyIdentifier = (key: KeyObject): Buffer =>
    createHash("sha1")
      .update(key.export({ type: "spki", format: "der" }))
      .digest();
  const extensions = [
    extension("2.5.29.19", true, ca ? sequence(TRUE) : sequence()),
    extension("2.5.29.14", false, octets(keyIdentifier(publicKey))),
    extension("2.5.29.35", false, sequence(der(0x80, keyIdentifier(signer.publicKey)))),
  ];
  // Bits: keyCertSign and cRLSign, or digitalSignature; the first byte counts the unused ones.
  extensions.push(extension("2.5.29.15", true, der(0x03, ca ? Buffer.of(1, 0x06) : Buffer.of(7, 0x80))));
  if (!ca && altNames.length > 0) extensions.push(extension("2.5.29.17", false, sequence(...altNames.map(alternativeName))));
  if (purpose !== undefined) {
    extensions.push(extension("2.5.29.37", false, sequence(oid(purpose === "server" ? "1.3.6.1.5.5.7.3.1" : "1.3.6.1.5.5.7.3.2"))));
  }
  const serial = randomBytes(8);
  serial[0] = 0x01;
  const body = sequence(
    der(0xa0, der(0x02, Buffer.of(2))),
    der(0x02, serial),
    ECDSA_SHA256,
    distinguishedName(signer.name),
    sequence(time(from), time(until)),
    distinguishedName(name),
    publicKey.export({ type: "spki", format: "der" }),
    der(0xa3, sequence(...extensions)),
  );
  const signature = sign("sha256", body, signer.privateKey);
  const certificate = sequence(body, ECDSA_SHA256, der(0x03, Buffer.of(0), signature));
  const base64 = certificate.toString("base64").replace(/.{1,64}/g, "$&\n");
  const cert = `-----BEGIN CERTIFICATE-----\n${base64}-----END CERTIFICATE-----\n`;
  const key = privateKey.export({ type: "pkcs8", format: "pem" }) as string;
  return { cert, key, chain: cert + (issuer === undefined ? "" : signer.chain), name, privateKey, publicKey };
}

let authority: Identity | undefined;

/** An authority for the whole run. Its chain is empty: a root is not sent. */
export function testAuthority(): Identity {
  authority ??= { ...makeCertificate({ name: "Test authority", ca: true }), chain: "" };
  return authority;
}

let server: Identity | undefined;

/** A good certificate for localhost, 127.0.0.1 and ::1, of {@link testAuthority}. */
export function testIdentity(): Identity {
  server ??= makeCertificate({ name: "localhost", issuer: testAuthority(), altNames: ["localhost", "127.0.0.1", "::1"] });
  return server;
}
