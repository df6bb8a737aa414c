// Base64 to bytes; atob is in every browser, and gives a string.

/** The bytes of a zlib stream in Base64. */
export async function fromCompressed(text) {
  const stream = new Blob([fromBase64(text)]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

export function fromBase64(text) {
  return Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
}
