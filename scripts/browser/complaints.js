// What the page and its libraries complain of, and the way to send what was seen of a file.
const complaints = [];
for (const kind of ["error", "warn"]) {
  const plain = console[kind];
  console[kind] = (...words) => {
    complaints.push(`${kind}: ${words.map(String).join(" ")}`);
    plain(...words);
  };
}
addEventListener("error", (event) => complaints.push(`error: ${event.message ?? event.target?.src ?? event}`), true);
addEventListener("unhandledrejection", (event) => complaints.push(`error: ${event.reason}`));

async function report(seen) {
  const body = JSON.stringify({ ...seen, complaints: complaints.splice(0) });
  await fetch("/report", { method: "POST", body });
}
