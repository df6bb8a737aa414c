// Base64 to bytes; atob is in every browser, and gives a string.

export function fromBase64(text) {
  return Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
}
