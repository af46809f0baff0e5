"""Sixty JSON Schemas as people send them, for answers that have to be valid by them."""

from __future__ import annotations

from typing import Any, Final

Schema = dict[str, Any]

TEXT: Final[Schema] = {"type": "string"}
WHOLE: Final[Schema] = {"type": "integer"}
NUMBER: Final[Schema] = {"type": "number"}
FLAG: Final[Schema] = {"type": "boolean"}
SHORT: Final[Schema] = {"type": "string", "maxLength": 24}


def of(properties: Schema, *optional: str, **more: Any) -> Schema:
    """A closed object; all members but the optional ones are required."""
    required = [name for name in properties if name not in optional]
    found: Schema = {"type": "object", "properties": properties, "required": required}
    return found | {"additionalProperties": False} | more


def items(schema: Schema, **more: Any) -> Schema:
    return {"type": "array", "items": schema, **more}


def one(*values: Any) -> Schema:
    return {"enum": list(values)}


def ref(name: str) -> Schema:
    return {"$ref": f"#/$defs/{name}"}


def maybe(schema: Schema) -> Schema:
    return {"anyOf": [schema, {"type": "null"}]}


ADDRESS: Final = of(
    {
        "street": SHORT,
        "city": SHORT,
        "postal_code": {"type": "string", "pattern": "^[0-9]{5}(-[0-9]{4})?$"},
        "country": {"type": "string", "enum": ["DE", "FR", "IT", "JP", "US"]},
        "unit": {"type": ["string", "null"], "maxLength": 8},
    },
    "unit",
)
_COUNTRIES: Final = (
    "Austria Belgium Bulgaria Croatia Cyprus Czechia Denmark Estonia Finland France Germany Greece"
    " Hungary Ireland Italy Latvia Lithuania Luxembourg Malta Netherlands Poland Portugal Romania"
    " Slovakia Slovenia Spain Sweden"
)

SCHEMAS: Final[dict[str, Schema]] = {
    "a person": of({"name": SHORT, "age": WHOLE | {"minimum": 0, "maximum": 150}}),
    "an address": ADDRESS,
    "a customer with two addresses": of(
        {"name": SHORT, "billing": ref("address"), "shipping": ref("address")},
        "shipping",
        **{"$defs": {"address": ADDRESS}},
    ),
    "an order": of(
        {
            "order_id": {"type": "string", "format": "uuid"},
            "placed_at": {"type": "string", "format": "date-time"},
            "status": one("new", "paid", "shipped", "returned"),
            "lines": items(
                of(
                    {
                        "sku": {"type": "string", "pattern": "^[A-Z]{3}-[0-9]{4}$"},
                        "quantity": WHOLE | {"minimum": 1, "maximum": 99},
                        "unit_price": NUMBER | {"minimum": 0},
                        "gift": FLAG,
                    },
                    "gift",
                ),
                minItems=1,
                maxItems=4,
            ),
        }
    ),
    "an invoice": of(
        {
            "number": {"type": "string", "pattern": r"^INV-\d{4}-\d{3,6}$"},
            "issued": {"type": "string", "format": "date"},
            "due": {"type": "string", "format": "date"},
            "currency": one("EUR", "USD", "GBP", "CHF"),
            "total": NUMBER | {"exclusiveMinimum": 0},
            "tax_rate": NUMBER | {"minimum": 0, "maximum": 1},
            "notes": maybe({"type": "string", "maxLength": 60}),
        },
        "notes",
    ),
    "a calendar event": of(
        {
            "title": {"type": "string", "minLength": 1, "maxLength": 40},
            "start": {"type": "string", "format": "date-time"},
            "end": {"type": "string", "format": "date-time"},
            "attendees": items({"type": "string", "format": "email"}, maxItems=3),
            "all_day": FLAG | {"default": False},
        },
        "attendees",
        "all_day",
    ),
    "a recurring event": of(
        {
            "weekday": one("mon", "tue", "wed", "thu", "fri", "sat", "sun"),
            "at": {"type": "string", "format": "time"},
            "lasts": {"type": "string", "format": "duration"},
        }
    ),
    "a sentiment": of(
        {
            "label": one("positive", "negative", "neutral"),
            "score": NUMBER | {"minimum": -1, "maximum": 1},
        }
    ),
    "a classification": {"type": "string", "enum": ["spam", "ham"]},
    "a yes or no": {"type": "boolean"},
    "a rating": {"type": "integer", "minimum": 1, "maximum": 5},
    "entities": of(
        {
            "entities": items(
                of({"text": SHORT, "kind": one("person", "place", "company", "date")}), maxItems=5
            )
        }
    ),
    "named entities as a list": items(
        of({"start": WHOLE | {"minimum": 0}, "end": WHOLE | {"minimum": 0}, "label": SHORT}),
        maxItems=3,
    ),
    "a summary": of(
        {
            "headline": {"type": "string", "maxLength": 50},
            "points": items({"type": "string", "maxLength": 40}, minItems=3, maxItems=3),
        }
    ),
    "a step of reasoning": of(
        {
            "steps": items(of({"explanation": SHORT, "output": SHORT}), maxItems=3),
            "final_answer": SHORT,
        }
    ),
    "a plan of an agent": of(
        {
            "goal": SHORT,
            "steps": items(
                {
                    "oneOf": [
                        of({"action": {"const": "search"}, "query": SHORT}),
                        of(
                            {
                                "action": {"const": "open"},
                                "url": {"type": "string", "format": "uri"},
                            }
                        ),
                        of(
                            {
                                "action": {"const": "wait"},
                                "seconds": WHOLE | {"minimum": 1, "maximum": 600},
                            }
                        ),
                        of({"action": {"const": "finish"}}),
                    ]
                },
                minItems=1,
                maxItems=3,
            ),
        }
    ),
    "a tool call": {
        "anyOf": [
            of(
                {
                    "name": {"const": "get_weather"},
                    "arguments": of({"city": SHORT, "unit": one("C", "F")}, "unit"),
                }
            ),
            of({"name": {"const": "get_time"}, "arguments": of({"zone": SHORT})}),
        ]
    },
    "a tree": {
        "$ref": "#/$defs/node",
        "$defs": {"node": of({"value": WHOLE, "children": items(ref("node"), maxItems=2)})},
    },
    "a linked list": {
        "$defs": {"cell": of({"head": WHOLE, "tail": maybe(ref("cell"))})},
        "$ref": "#/$defs/cell",
    },
    "comments with replies": of(
        {"author": SHORT, "text": SHORT, "replies": items({"$ref": "#"}, maxItems=2)}, "replies"
    ),
    "a user interface": {
        "$ref": "#/$defs/element",
        "$defs": {
            "element": of(
                {
                    "type": one("div", "button", "header", "section", "field", "form"),
                    "label": SHORT,
                    "children": items(ref("element"), maxItems=2),
                    "attributes": items(of({"name": SHORT, "value": SHORT}), maxItems=2),
                }
            )
        },
    },
    "an expression": {
        "$ref": "#/$defs/expression",
        "$defs": {
            "expression": {
                "anyOf": [
                    NUMBER,
                    of(
                        {
                            "op": one("+", "-", "*", "/"),
                            "left": ref("expression"),
                            "right": ref("expression"),
                        }
                    ),
                ]
            }
        },
    },
    "a file tree": {
        "definitions": {
            "entry": {
                "oneOf": [
                    of({"kind": {"const": "file"}, "name": SHORT, "bytes": WHOLE | {"minimum": 0}}),
                    of(
                        {
                            "kind": {"const": "folder"},
                            "name": SHORT,
                            "entries": items({"$ref": "#/definitions/entry"}, maxItems=2),
                        }
                    ),
                ]
            }
        },
        "$ref": "#/definitions/entry",
    },
    "a member that is another's": of(
        {"from": of({"x": NUMBER, "y": NUMBER}), "to": {"$ref": "#/properties/from"}}
    ),
    "a union of types": {"type": ["string", "integer", "null"], "maxLength": 10},
    "a list of unions": items(
        {"type": ["number", "boolean", "string"], "maxLength": 12}, maxItems=4
    ),
    "a map of numbers": {"type": "object", "additionalProperties": NUMBER, "maxProperties": 4},
    "a map of lists": {
        "type": "object",
        "additionalProperties": items(SHORT, maxItems=2),
        "maxProperties": 3,
    },
    "named members and others": {
        "type": "object",
        "properties": {"id": WHOLE, "name": SHORT},
        "required": ["id"],
        "additionalProperties": {"type": "boolean"},
        "maxProperties": 5,
    },
    "what nothing is said of": {"type": "object", "maxProperties": 3},
    "an open object": {"type": "object", "properties": {"a": SHORT, "b": WHOLE}, "required": ["a"]},
    "only optional members": {
        "type": "object",
        "properties": dict.fromkeys(("title", "subtitle", "summary", "author"), SHORT),
    },
    "one of them at least": {
        "type": "object",
        "properties": {
            "email": {"type": "string", "format": "email"},
            "phone": {"type": "string", "pattern": r"^\+[1-9][0-9]{6,14}$"},
        },
        "additionalProperties": False,
        "minProperties": 1,
    },
    "a base and what is added": {
        "$defs": {"base": {"type": "object", "properties": {"id": WHOLE}, "required": ["id"]}},
        "allOf": [
            ref("base"),
            {"type": "object", "properties": {"name": SHORT}, "required": ["name"]},
        ],
    },
    "an animal by inheritance": {
        "$defs": {
            "animal": {
                "type": "object",
                "properties": {"kind": TEXT, "legs": WHOLE | {"minimum": 0}},
                "required": ["kind"],
            },
            "dog": {
                "allOf": [
                    ref("animal"),
                    {
                        "properties": {"kind": {"const": "dog"}, "barks": FLAG},
                        "required": ["barks"],
                    },
                ]
            },
            "bird": {
                "allOf": [
                    ref("animal"),
                    {
                        "properties": {
                            "kind": {"const": "bird"},
                            "wings": WHOLE | {"maximum": 2, "minimum": 0},
                        }
                    },
                ]
            },
        },
        "oneOf": [ref("dog"), ref("bird")],
    },
    "a common member beside anyOf": {
        "type": "object",
        "properties": {"id": WHOLE},
        "required": ["id"],
        "anyOf": [
            {"properties": {"a": SHORT}, "required": ["a"]},
            {"properties": {"b": WHOLE}, "required": ["b"]},
        ],
    },
    "a contact by pydantic": {
        "title": "Contact",
        "type": "object",
        "properties": {
            "name": {"title": "Name", "type": "string", "maxLength": 20},
            "email": {
                "anyOf": [{"type": "string", "format": "email"}, {"type": "null"}],
                "default": None,
                "title": "Email",
            },
            "tags": {
                "type": "array",
                "items": {"type": "string", "maxLength": 8},
                "maxItems": 3,
                "title": "Tags",
                "default": [],
            },
            "role": {"$ref": "#/$defs/Role", "description": "What they do."},
        },
        "required": ["name", "role"],
        "$defs": {"Role": {"type": "string", "enum": ["admin", "user", "guest"], "title": "Role"}},
    },
    "shapes by pydantic": {
        "$defs": {
            "Circle": of(
                {
                    "kind": {"const": "circle", "type": "string"},
                    "radius": NUMBER | {"exclusiveMinimum": 0},
                }
            ),
            "Square": of(
                {
                    "kind": {"const": "square", "type": "string"},
                    "side": NUMBER | {"exclusiveMinimum": 0},
                }
            ),
        },
        "type": "object",
        "properties": {
            "shape": {
                "discriminator": {"mapping": {"circle": "#/$defs/Circle"}, "propertyName": "kind"},
                "oneOf": [ref("Circle"), ref("Square")],
            }
        },
        "required": ["shape"],
    },
    "a point as a tuple": {
        "type": "array",
        "prefixItems": [
            NUMBER | {"minimum": -180, "maximum": 180},
            NUMBER | {"minimum": -90, "maximum": 90},
        ],
        "items": False,
        "minItems": 2,
    },
    "a tuple and more": {
        "type": "array",
        "prefixItems": [SHORT, WHOLE],
        "items": FLAG,
        "minItems": 1,
        "maxItems": 4,
    },
    "a geometry": {
        "oneOf": [
            of({"type": {"const": "Point"}, "coordinates": items(NUMBER, minItems=2, maxItems=2)}),
            of(
                {
                    "type": {"const": "LineString"},
                    "coordinates": items(
                        items(NUMBER, minItems=2, maxItems=2), minItems=2, maxItems=3
                    ),
                }
            ),
        ]
    },
    "a matrix": items(
        items(NUMBER | {"minimum": 0, "maximum": 1}, minItems=2, maxItems=2), minItems=2, maxItems=2
    ),
    "a set of permissions": items(
        one("read", "write", "delete", "share"), uniqueItems=True, minItems=1
    ),
    "a country": {"enum": _COUNTRIES.split()},
    "mixed constants": one(1, 2.5, "three", True, None, [4], {"five": 5}),
    "a version": {
        "type": "string",
        "pattern": r"^(0|[1-9]\d{0,3})\.(0|[1-9]\d{0,3})\.(0|[1-9]\d{0,3})$",
    },
    "a colour": {"type": "string", "pattern": "^#([0-9a-fA-F]{3}|[0-9a-fA-F]{6})$"},
    "a slug": {
        "type": "string",
        "pattern": "^[a-z0-9]+(-[a-z0-9]+)*$",
        "minLength": 3,
        "maxLength": 30,
    },
    "an identifier": {"type": "string", "pattern": "^[A-Za-z_][A-Za-z0-9_]*$", "maxLength": 20},
    "a quoted pattern": {"type": "string", "pattern": r'^"[^"\\]{1,8}"$'},
    "a pattern found inside": {"type": "string", "pattern": r"\d{3}", "maxLength": 20},
    "network addresses": of(
        {
            "v4": {"type": "string", "format": "ipv4"},
            "v6": {"type": "string", "format": "ipv6"},
            "host": {"type": "string", "format": "hostname"},
        },
        "v6",
    ),
    "a recipe": of(
        {
            "name": SHORT,
            "servings": WHOLE | {"minimum": 1, "maximum": 12},
            "ingredients": items(
                of(
                    {
                        "item": SHORT,
                        "amount": NUMBER | {"minimum": 0},
                        "unit": one("g", "ml", "piece"),
                    }
                ),
                minItems=1,
                maxItems=3,
            ),
            "steps": items(SHORT, minItems=1, maxItems=3),
        }
    ),
    "a job posting": of(
        {
            "title": SHORT,
            "remote": FLAG,
            "salary": maybe(
                of(
                    {
                        "low": WHOLE | {"minimum": 0},
                        "high": WHOLE | {"minimum": 0},
                        "currency": one("EUR", "USD"),
                    }
                )
            ),
            "skills": items(SHORT, maxItems=3),
        }
    ),
    "a database query": of(
        {
            "table": one("orders", "customers"),
            "columns": items(one("id", "status", "total", "name"), minItems=1, maxItems=3),
            "conditions": items(
                of(
                    {
                        "column": SHORT,
                        "operator": one("=", ">", "<", "!="),
                        "value": {"anyOf": [SHORT, NUMBER, of({"column_name": SHORT})]},
                    }
                ),
                maxItems=2,
            ),
            "order_by": one("asc", "desc"),
        }
    ),
    "a survey's answers": of(
        {f"question_{number}": one("a", "b", "c", "d") for number in range(1, 9)}
    ),
    "many optional members": {
        "type": "object",
        "properties": {
            f"field_{number}": WHOLE | {"minimum": 0, "maximum": 9} for number in range(40)
        },
        "required": ["field_7", "field_20"],
        "additionalProperties": False,
    },
    "a game character": of(
        {
            "name": {"type": "string", "minLength": 2, "maxLength": 16},
            "class": one("mage", "knight", "thief"),
            "stats": of(
                {name: WHOLE | {"minimum": 1, "maximum": 20} for name in ("str", "dex", "int")}
            ),
            "inventory": items(
                {
                    "anyOf": [
                        SHORT,
                        of(
                            {"item": SHORT, "count": WHOLE | {"exclusiveMinimum": 1, "maximum": 99}}
                        ),
                    ]
                },
                maxItems=3,
            ),
        }
    ),
    "names with quotes and umlauts": of(
        {'say "hi"': SHORT, "größe": NUMBER, "a\\b": FLAG, "☃": {"type": "null"}}, "☃"
    ),
    "a draft 7 tuple": {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "type": "array",
        "items": [SHORT, WHOLE],
        "additionalItems": False,
        "minItems": 2,
    },
}
"""By what they are for. What is `nullable` is OpenAPI's and has tests of its own."""
