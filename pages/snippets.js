// A submission as a program for curl, Python or Swift. A token is taken from the environment, never
// written down.

const TOKEN = "ELWIFT_TOKEN";

export function snippet(language, origin, body, withToken) {
  return { curl, python, swift }[language](origin, body, withToken);
}

function curl(origin, body, withToken) {
  const auth = withToken ? ` -H "Authorization: Bearer $${TOKEN}"` : "";
  const json = JSON.stringify(body).replaceAll("'", "'\\''");
  return `id=$(curl -sf${auth} -H 'Content-Type: application/json' '${origin}/tasks' -d '${json}' \\
  | sed -E 's/.*"task_id":"([^"]+)".*/\\1/')
curl -sN${auth} "${origin}/tasks/$id/events"   # as it is written
curl -sf${auth} "${origin}/tasks/$id"          # whole
`;
}

function python(origin, body, withToken) {
  const headers = `{"Content-Type": "application/json"${
    withToken ? `, "Authorization": "Bearer " + os.environ["${TOKEN}"]` : ""
  }}`;
  return `import json
${withToken ? "import os\n" : ""}import urllib.request

NODE = ${pythonLiteral(origin)}
HEADERS = ${headers}
BODY = ${pythonLiteral(body)}


def call(path, body=None):
    return urllib.request.urlopen(urllib.request.Request(NODE + path, body, HEADERS))


with call("/tasks", json.dumps(BODY).encode()) as answer:
    task_id = json.load(answer)["task_id"]
with call(f"/tasks/{task_id}/events") as events:
    for line in events:
        name, _, value = line.decode().rstrip("\\n").partition(": ")
        if name == "event":
            event = value
        elif name == "data" and event in ("task", "progress"):
            print(json.loads(value)["delta"], end="", flush=True)
`;
}

function swift(origin, body, withToken) {
  const auth = withToken
    ? `\n    let token = ProcessInfo.processInfo.environment["${TOKEN}"] ?? ""
    request.setValue("Bearer \\(token)", forHTTPHeaderField: "Authorization")`
    : "";
  return `import Foundation

let node = ${swiftText(origin)}
let body: [String: Any] = ${swiftLiteral(body)}

func request(_ path: String) -> URLRequest {
    var request = URLRequest(url: URL(string: node + path)!)
    request.setValue("application/json", forHTTPHeaderField: "Content-Type")${auth}
    return request
}

var submission = request("/tasks")
submission.httpMethod = "POST"
submission.httpBody = try JSONSerialization.data(withJSONObject: body)
let (answer, _) = try await URLSession.shared.data(for: submission)
let task = try JSONSerialization.jsonObject(with: answer) as! [String: Any]
let (events, _) = try await URLSession.shared.bytes(for: request("/tasks/\\(task["task_id"]!)/events"))
for try await line in events.lines where line.hasPrefix("data: ") {
    let event = try JSONSerialization.jsonObject(with: Data(line.dropFirst(6).utf8)) as? [String: Any]
    print(event?["delta"] as? String ?? "", terminator: "")
}
`;
}

// What JSON writes between quotes means the same in Python.
function pythonLiteral(value) {
  if (value === null) return "None";
  if (value === true) return "True";
  if (value === false) return "False";
  if (Array.isArray(value)) return `[${value.map(pythonLiteral).join(", ")}]`;
  if (typeof value !== "object") return JSON.stringify(value);
  const members = Object.entries(value).map(([name, each]) => `${JSON.stringify(name)}: ${pythonLiteral(each)}`);
  return `{${members.join(", ")}}`;
}

function swiftLiteral(value) {
  if (value === null) return "NSNull()";
  if (typeof value === "string") return swiftText(value);
  if (Array.isArray(value)) return `[${value.map(swiftLiteral).join(", ")}] as [Any]`;
  if (typeof value !== "object") return String(value);
  const members = Object.entries(value).map(([name, each]) => `${swiftText(name)}: ${swiftLiteral(each)}`);
  return members.length ? `[${members.join(", ")}] as [String: Any]` : "[String: Any]()";
}

function swiftText(text) {
  const escapes = { '"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t" };
  const escaped = text.replace(/["\\\p{Cc}\u2028\u2029]/gu, (char) => (
    escapes[char] ?? `\\u{${char.codePointAt(0).toString(16)}}`
  ));
  return `"${escaped}"`;
}
