// Lines of three cells for the tables of the open symbol. Their text nodes stay: no node comes or goes while prices move.

export function makeLine() {
  const line = document.createElement("tr");
  const cells = [0, 1, 2].map(() => {
    const cell = document.createElement("td");
    const node = document.createTextNode("");
    cell.append(node);
    line.append(cell);
    return node;
  });
  return { line, cells };
}

/** Writes only what differs. */
export function put(node, words) {
  if (node.data !== words) node.data = words;
}
