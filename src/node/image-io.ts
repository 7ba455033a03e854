/** What the node and tree floors need of the storage below them: images read by address, images written in order. */

export interface ImageReader {
  /** Fills `into` from the segment; `CorruptionError` where the file ends too early or is missing without being reclaimed. */
  readSync(segment: number, offset: number, into: Uint8Array): void;
  read(segment: number, offset: number, into: Uint8Array): Promise<void>;
  /** File name of the segment, for error messages. */
  describe(segment: number): string;
}

export interface ImageAddress {
  segment: number;
  offset: number;
}

export interface ImageSink {
  /**
   * Appends one finished image, `bytes[start, start + length)`, and answers where it will be (the returned object is
   * reused by the next call). The bytes are copied before the call returns. Durable only after the sink's owner synced.
   */
  append(bytes: Uint8Array, start: number, length: number): ImageAddress;
}
