// What apps do with Ollama's library; a JSON object of what came.
import { Ollama } from "ollama"

const client = new Ollama({ host: process.argv[2] })
const model = "elwift-tiny"
const messages = [{ role: "user", content: "hi" }]
const options = { num_predict: 24 }
const said = {}

const answer = await client.chat({ model, messages, options })
said.chat = [answer.message.role, answer.message.content, answer.done_reason, answer.eval_count]

let text = ""
let done = 0
for await (const part of await client.chat({ model, messages, options, stream: true })) {
  text += part.message.content
  done += part.done
}
said.stream = [text, done]

text = ""
for await (const part of await client.generate({ model, prompt: "hi", options, stream: true })) {
  text += part.response
}
said.generated = text
said.whole = (await client.generate({ model, prompt: "hi", options })).response
said.loaded = (await client.generate({ model, prompt: "" })).done_reason

const long = await client.chat({ model, messages, options: { num_predict: 4000 }, stream: true })
try {
  for await (const part of long) {
    if (part.message.content) client.abort()
  }
} catch (error) {
  said.aborted = error.name
}

try {
  await client.chat({ model: "nobody", messages })
} catch (error) {
  said.error = [error.status_code, error.error]
}

said.models = (await client.list()).models.map((each) => each.name)
said.shown = (await client.show({ model })).capabilities
said.running = (await client.ps()).models.map((each) => each.model)
said.version = (await client.version()).version
console.log(JSON.stringify(said))
