/** Instances of JSON Schemas, for a model that has none of its own to say. */

type Schema = { readonly [keyword: string]: unknown }

/** State that the instances of one answer share. */
interface Build {
  readonly root: Schema
  /** Fills strings that may hold anything. */
  readonly text: string
  /** How many values may still be made: schemas may refer to themselves, or ask for a million items. */
  left: number
}

const MAX_VALUES = 2000
/** Optional properties below this depth are left out, so that a recursive schema ends. */
const OPTIONAL_DEPTH = 4
const MAX_DEPTH = 64
const MAX_STRING = 10_000

/** The schema asks for more than is made here. */
export class TooLarge extends Error {}

const isSchema = (value: unknown): value is Schema =>
  typeof value === "object" && value !== null && !Array.isArray(value)

const schemasOf = (value: unknown): ReadonlyArray<Schema> =>
  Array.isArray(value) ? value.filter(isSchema) : []
const textsOf = (value: unknown): ReadonlyArray<string> => Array.isArray(value) ? value.map(String) : []
const numberOf = (value: unknown): number | undefined => typeof value === "number" ? value : undefined

/** The target of a reference within the document. */
const lookUp = (reference: string, root: Schema): Schema => {
  const path = reference.replace(/^#\/?/, "").split("/").filter((part) => part !== "")
  const found = path.reduce<unknown>((schema, part) => {
    const name = decodeURIComponent(part).replaceAll("~1", "/").replaceAll("~0", "~")
    return typeof schema === "object" && schema !== null && Object.hasOwn(schema, name)
      ? (schema as Schema)[name]
      : undefined
  }, root)
  return isSchema(found) ? found : {}
}

const merged = (schemas: ReadonlyArray<Schema>): Schema =>
  schemas.reduce((all, schema) => ({
    ...all,
    ...schema,
    properties: { ...all["properties"] as object, ...schema["properties"] as object },
    required: [...textsOf(all["required"]), ...textsOf(schema["required"])]
  }), {})

/** A schema without references and choices: the first choice is taken, all parts of `allOf` are merged. */
const resolved = (schema: Schema, build: Build, depth: number): Schema => {
  if (depth > MAX_DEPTH) throw new TooLarge()
  const { $ref, allOf, anyOf, oneOf, ...rest } = schema
  if (typeof $ref === "string") return resolved({ ...lookUp($ref, build.root), ...rest }, build, depth + 1)
  const choices = [...schemasOf(anyOf), ...schemasOf(oneOf)]
  // `null` of a choice is the way out of a recursion, and shows nothing above it
  const isNull = ({ type }: Schema) => type === "null"
  const choice = depth >= OPTIONAL_DEPTH
    ? choices.find(isNull) ?? choices[0]
    : choices.find((one) => !isNull(one))
  const parts = [...schemasOf(allOf), ...(choice === undefined ? [] : [choice])]
  if (parts.length === 0) return rest
  return merged([rest, ...parts.map((part) => resolved(part, build, depth + 1))])
}

const formats: { readonly [format: string]: string } = {
  "date-time": "2026-01-01T00:00:00Z",
  date: "2026-01-01",
  time: "00:00:00Z",
  duration: "P1D",
  email: "someone@example.com",
  hostname: "example.com",
  ipv4: "192.0.2.1",
  ipv6: "2001:db8::1",
  uri: "https://example.com/",
  url: "https://example.com/",
  uuid: "00000000-0000-4000-8000-000000000000"
}

const stringOf = (schema: Schema, { text }: Build): string => {
  const format = formats[String(schema["format"])]
  if (format !== undefined) return format
  const min = numberOf(schema["minLength"]) ?? 0
  const max = numberOf(schema["maxLength"]) ?? MAX_STRING
  if (min > MAX_STRING) throw new TooLarge()
  return [...text].slice(0, max).join("").padEnd(min, "x")
}

const numberFor = (schema: Schema, isInteger: boolean): number => {
  const step = numberOf(schema["multipleOf"]) ?? (isInteger ? 1 : 0.5)
  const above = numberOf(schema["exclusiveMinimum"])
  const below = numberOf(schema["exclusiveMaximum"])
  const min = Math.max(numberOf(schema["minimum"]) ?? -Infinity, (above ?? -Infinity) + step)
  const max = Math.min(numberOf(schema["maximum"]) ?? Infinity, (below ?? Infinity) - step)
  const rounded = Number.isFinite(min)
    ? Math.ceil(min / step) * step
    : Math.floor(Math.min(max, 1) / step) * step
  const wanted = rounded <= 1 && 1 <= max && Number.isInteger(1 / step) ? 1 : rounded
  return wanted <= max ? wanted : min
}

const arrayOf = (schema: Schema, build: Build, depth: number): ReadonlyArray<unknown> => {
  const first = schemasOf(schema["prefixItems"])
  const items = isSchema(schema["items"]) ? schema["items"] : {}
  const most = numberOf(schema["maxItems"]) ?? Infinity
  const isClosed = schema["items"] === false
  const isShown = depth < OPTIONAL_DEPTH && isSchema(schema["items"])
  const wanted = numberOf(schema["minItems"]) ?? (isShown ? 1 : 0)
  const count = isClosed ? first.length : Math.min(Math.max(wanted, first.length), most)
  if (count > build.left) throw new TooLarge()
  return Array.from({ length: count }, (_, index) => {
    const value = instanceOf(first[index] ?? items, build, depth + 1)
    // items that are to differ
    return schema["uniqueItems"] === true && typeof value === "number" ? value + index : value
  })
}

const objectOf = (schema: Schema, build: Build, depth: number): object => {
  const properties = isSchema(schema["properties"]) ? schema["properties"] : {}
  const required = textsOf(schema["required"])
  const optional = depth >= OPTIONAL_DEPTH ? [] : Object.keys(properties)
  return Object.fromEntries([...new Set([...required, ...optional])].map((name) => {
    const property = Object.hasOwn(properties, name) ? properties[name] : schema["additionalProperties"]
    return [name, instanceOf(isSchema(property) ? property : {}, build, depth + 1)]
  }))
}

const typeOf = (schema: Schema): unknown => {
  const { type } = schema
  if (Array.isArray(type)) return type.find((one) => one !== "null") ?? "null"
  if (type !== undefined) return type
  if (isSchema(schema["properties"]) && Object.keys(schema["properties"]).length > 0) return "object"
  return schema["items"] === undefined ? "string" : "array"
}

const instanceOf = (given: Schema, build: Build, depth: number): unknown => {
  if (--build.left < 0 || depth > MAX_DEPTH) throw new TooLarge()
  const schema = resolved(given, build, depth)
  if ("const" in schema) return schema["const"]
  if (Array.isArray(schema["enum"]) && schema["enum"].length > 0) return schema["enum"][0]
  const type = typeOf(schema)
  if (type === "object") return objectOf(schema, build, depth)
  if (type === "array") return arrayOf(schema, build, depth)
  if (type === "integer" || type === "number") return numberFor(schema, type === "integer")
  if (type === "boolean") return true
  return type === "null" ? null : stringOf(schema, build)
}

/** A value that fits a JSON Schema, the same every time. Patterns are not honoured. Throws `TooLarge`. */
export const instance = (schema: object, text: string): unknown => {
  const root = schema as Schema
  return instanceOf(root, { root, text, left: MAX_VALUES }, 0)
}
