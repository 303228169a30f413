/**
 * A buffer between a connection and its socket, in which the records of a long write gather to leave with one write(2): OpenSSL alone makes one for
 * each record of 16 KB. Depends on the OpenSSL binding.
 *
 * It is OpenSSL's own, BIO_f_buffer(3), before the socket's BIO while a long write is under way and not longer: an idle connection owns no buffer.
 * What is in it is encrypted and not written, so the bytes count as sent when `flush()` has written them all.
 */
import { type Pointer, sys, systemError } from "../platform/index.js";
import { acquired, nativeTlsObjects, type OpenSsl, openssl, released } from "./openssl.js";

/** The most bytes of one batch: four records. A write of 64 KB in two batches took 5% more CPU time. */
export const BATCH = 65536;

/** For the headers and tags of records. Where it does not suffice, after a small fragment length was agreed on, a write(2) more is made. */
const OVERHEAD = 4096;

// bio.h
const CTRL_FLUSH = 11;
const SET_BUFFER_SIZE = 117;
const SHOULD_RETRY = 8;

/** At most one, for the next long write, while there are connections: most writes begin and end in one call, so that it serves them all. */
const spares: RecordBatch[] = [];

/** Gathers the records of one connection at a time. */
export class RecordBatch {
  readonly #library: OpenSsl;
  readonly #bio: Pointer;
  #socketBio: Pointer = 0n;

  private constructor() {
    this.#library = openssl();
    this.#bio = acquired("others", this.#library.BIO_new(this.#library.BIO_f_buffer()), "a buffer");
    if (this.#library.BIO_int_ctrl(this.#bio, SET_BUFFER_SIZE, BATCH + OVERHEAD, 1) === 1) return;
    this.#free();
    throw new Error(`OpenSSL could not make a buffer of ${BATCH + OVERHEAD} bytes: memory has run out`);
  }

  /**
   * Puts a buffer between a connection and the BIO of its socket. That the connection reads from it too is what keeps this BIO alive; after the
   * handshake it does, for a handshake never ends within the bytes that were received before it.
   */
  static join(ssl: Pointer, socketBio: Pointer): RecordBatch {
    const batch = spares.pop() ?? new RecordBatch();
    const library = batch.#library;
    batch.#socketBio = socketBio;
    // One owner is the connection, the other this object.
    library.BIO_up_ref(batch.#bio);
    library.BIO_push(batch.#bio, socketBio);
    library.SSL_set0_wbio(ssl, batch.#bio);
    return batch;
  }

  /**
   * Writes what is in the buffer, with one write(2) if the kernel takes it all.
   *
   * @returns whether all is written; what is not stays
   * @throws SystemError of the call
   */
  flush(): boolean {
    if (this.#library.BIO_ctrl(this.#bio, CTRL_FLUSH, 0, null) > 0) return true;
    // Before anything else is called that could change it.
    const errno = sys.errno();
    if (this.#library.BIO_test_flags(this.#bio, SHOULD_RETRY) !== 0) return false;
    throw systemError(errno, "write");
  }

  /** Takes the buffer away from the connection; what is still in it is dropped. */
  leave(ssl: Pointer, flushed: boolean): void {
    const library = this.#library;
    library.BIO_up_ref(this.#socketBio);
    // Frees the connection's share in the buffer, and does not get as far as the socket's BIO behind it, because we have one too.
    library.SSL_set0_wbio(ssl, this.#socketBio);
    library.BIO_pop(this.#bio);
    if (flushed && spares.length === 0) spares.push(this);
    else this.#free();
  }

  #free(): void {
    this.#library.BIO_free(this.#bio);
    released("others");
  }

  /** After the thread's last connection the spare buffer goes too. */
  static freeUnused(): void {
    if (nativeTlsObjects().connections > 0) return;
    for (const spare of spares.splice(0)) spare.#free();
  }
}
