export async function decodeTiles() { throw new Error("later"); }
