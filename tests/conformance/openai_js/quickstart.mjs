// What apps do with OpenAI's library, each under the number of its check; a JSON object of what came.
import OpenAI from "openai"

const client = new OpenAI({ baseURL: `${process.argv[2]}/v1`, apiKey: "none", maxRetries: 0 })
const ask = { model: "", messages: [{ role: "user", content: "hi" }] }
const said = {}

const answer = await client.chat.completions.create({ ...ask, max_tokens: 3 })
said.chat = answer.choices[0].message.content
said.requestId = answer._request_id

const roles = []
let text = ""
let usage = null
const options = { stream: true, stream_options: { include_usage: true } }
for await (const chunk of await client.chat.completions.create({ ...ask, max_tokens: 3, ...options })) {
  for (const choice of chunk.choices) {
    if (choice.delta.role) roles.push(choice.delta.role)
    text += choice.delta.content ?? ""
  }
  usage = chunk.usage ?? usage
}
said.stream = { roles, text, tokens: usage.completion_tokens }

const helper = client.chat.completions.stream({ ...ask, max_tokens: 3, n: 2 })
const whole = await helper.finalChatCompletion()
said.helper = whole.choices.map((choice) => [choice.message.role, choice.message.content])

const broken = await client.chat.completions.create({ ...ask, max_tokens: 4000, stream: true })
for await (const chunk of broken) {
  said.broken = chunk.id
  if (chunk.choices[0].delta.content) break
}

try {
  await client.chat.completions.create({ ...ask, model: "nobody" })
} catch (error) {
  said.error = [error.status, error.code, error.param]
}

const response = await client.responses.create({ model: "", input: "hi", max_output_tokens: 3 })
said.response = response.output_text
said.models = (await client.models.list()).data.map((model) => model.id)
console.log(JSON.stringify(said))
