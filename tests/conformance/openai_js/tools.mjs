// Tools with OpenAI's library, whole, by its helper and through a round; a JSON object of what came.
import OpenAI from "openai"

const client = new OpenAI({ baseURL: `${process.argv[2]}/v1`, apiKey: "none", maxRetries: 0 })
const parameters = {
  type: "object",
  properties: { city: { type: "string", maxLength: 12 } },
  required: ["city"],
  additionalProperties: false,
}
const messages = [{ role: "user", content: "What is the weather in Rome?" }]
const ask = {
  model: "", messages, temperature: 0, seed: 1, max_tokens: 60, parallel_tool_calls: false,
  tools: [{ type: "function", function: { name: "get_weather", parameters } }],
  tool_choice: { type: "function", function: { name: "get_weather" } },
}
const said = {}

const whole = await client.chat.completions.create(ask)
const call = whole.choices[0].message.tool_calls[0]
said.whole = [call.function.name, call.function.arguments, whole.choices[0].finish_reason]

const final = await client.chat.completions.stream(ask).finalChatCompletion()
const told = final.choices[0].message.tool_calls
said.helper = told.map((each) => [each.function.name, each.function.arguments])
said.id = told[0].id

const more = [...messages, whole.choices[0].message, { role: "tool", tool_call_id: call.id, content: "Sun." }]
const answer = await client.chat.completions.create({
  ...ask, messages: more, tool_choice: "auto", max_tokens: 5,
})
said.answer = answer.choices[0].finish_reason
console.log(JSON.stringify(said))
