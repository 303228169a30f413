/**
 * The certificate authorities that a client trusts when nobody says otherwise: Node's own. Depends on `node:tls` and the OpenSSL binding.
 *
 * Parsing 144 of them costs 28 ms, so it is done once for the thread; a context that wants only them shares one store.
 */
import { readFileSync } from "node:fs";
import type { Pointer } from "../platform/index.js";
import { memorySource, readCertificates } from "./certificates.js";
import { acquired, openssl, released } from "./openssl.js";

/** What there is of `node:tls` on the Node that runs. */
export interface CertificateSource {
  readonly rootCertificates: readonly string[];
  /** From Node 22.15 and 23.10 on. */
  readonly getCACertificates?: ((type: "default") => readonly string[]) | undefined;
}

/**
 * Node's default authorities as PEM texts: `tls.getCACertificates` where it exists, which honours `NODE_EXTRA_CA_CERTS`,
 * `--use-system-ca` and what a program has set; else `tls.rootCertificates` and the file that `NODE_EXTRA_CA_CERTS` names, which that list leaves
 * out. As with Node, a file that cannot be read is left out; Node itself has warned of it.
 *
 * @internal the parameters are for tests
 */
export function defaultAuthorities(
  source: CertificateSource = process.getBuiltinModule("node:tls"),
  extra = process.env["NODE_EXTRA_CA_CERTS"],
): string[] {
  if (source.getCACertificates !== undefined) return [...source.getCACertificates("default")];
  const authorities = [...source.rootCertificates];
  if (extra !== undefined && extra !== "") {
    try {
      authorities.push(readFileSync(extra, "utf8"));
    } catch {
      // Node has said so on stderr.
    }
  }
  return authorities;
}

let roots: readonly Pointer[] | undefined;
let sharedStore: Pointer | undefined;

/** The authorities as native certificates, parsed at the first call and kept. */
export function trustedRoots(): readonly Pointer[] {
  if (roots !== undefined) return roots;
  const parsed: Pointer[] = [];
  for (const pem of defaultAuthorities()) {
    try {
      parsed.push(...readCertificates(memorySource("the default certificate authorities", pem)));
    } catch {
      // One that this OpenSSL cannot read makes the others no less trusted.
    }
  }
  // Kept for the thread: what is not freed on purpose is not counted.
  for (const _ of parsed) released("others");
  roots = parsed;
  return roots;
}

/** The store of all contexts that trust exactly the default authorities. Nobody adds to it. */
export function defaultStore(): Pointer {
  sharedStore ??= makeStore(trustedRoots());
  return sharedStore;
}

/** A new store, which the caller frees. */
export function makeStore(certificates: readonly Pointer[]): Pointer {
  const ssl = openssl();
  const store = acquired("others", ssl.X509_STORE_new(), "a certificate store");
  released("others");
  for (const certificate of certificates) ssl.X509_STORE_add_cert(store, certificate);
  return store;
}
