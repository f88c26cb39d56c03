#include "control/documentation.h"

#include <string_view>

#include "base/format.h"
#include "base/strings.h"
#include "control/schema.h"
#include "snapshot/template.h"

namespace sluice::control {

namespace {

constexpr auto kSectionCount = static_cast<size_t>(Section::kCount);

// --- Markdown ---

constexpr std::string_view kMarkdownHead = R"(# Configuration

<!-- Generated from the rows in daemon/control/schema.cc by `cmake --build --preset debug --target docs`. -->

Sluice reads one YAML file in UTF-8, given by `--config FILE`; without it `/etc/sluice/sluice.yaml` if that exists, else
`config/sluice.yaml`. `sluice check` reads it and reports everything that is wrong, with file, line and column. Editors that
know JSON schema help while you type, with this first line:

```yaml
# yaml-language-server: $schema=/path/to/config/sluice.schema.json
```

The smallest configuration that does something:

```yaml
version: 1
listeners:
  public: {address: 0.0.0.0:8080}
upstreams:
  app: {endpoints: [127.0.0.1:9001]}
routes:
  - match: {path: "/{rest...}"}
    upstream: app
```

More stand in `config/examples/`; each passes `sluice check`.

## How values are written

| | |
|---|---|
| duration | `250ms`, `5s`, `1m30s`, `2h`; `0` where it means "none" |
| size | `512`, `64KiB`, `10MiB`, `1GiB` |
| share | `20%` or `0.2` |
| boolean | `true` or `false` |
| address | `127.0.0.1:80`, `[::1]:80`, `localhost:80`, `unix:/run/app.sock`; `:80` and `0.0.0.0:80` listen on all IPv4 addresses; an endpoint may also be a name, `app.internal:80` |
| file, folder | a path; relative to the folder of the file in which it stands |
| name | of a listener, upstream or store: letters, digits, `.`, `_` and `-` |

**Environment variables**: `${NAME}` in a value is replaced by that variable, `${NAME:-default}` has a default for one that
is not set or empty; `$${` stands for a literal `${`. What a variable holds is text, never YAML. The admin listener shows values
as they are written here, so what comes from the environment stays secret.

**Several files**: `include: routes.d/*.yaml` adds the `listeners`, `upstreams`, `stores`, `routes` and `trusted_proxies` of further files. A
name that two files give is an error. An included file may say its `version`, and may include others.

**Mistakes** are reported all at once; a key that is unknown, given twice or out of range is an error, never ignored.

## Path patterns

| pattern | matches |
|---|---|
| `/users/me` | exactly this path |
| `/users/{id}` | one segment, any text |
| `/users/{id:int}` | one whole number, perhaps with a `-` |
| `/users/{id:uuid}` | one segment that is a UUID |
| `/users/{id:[a-z]+}` | one segment that matches the regular expression, as a whole |
| `/files/{rest...}` | everything below `/files/`, slashes included; also nothing |

At each segment a literal is preferred to a typed or regular-expression parameter, that to a plain one, that to a rest; a dead
end never hides another match. Of routes with the same pattern, the one with more header and query conditions is tried first, then
the one that stands first. `sluice explain GET URL` shows which route wins and why. Routes see the normalised path: dot
segments resolved, escapes of unreserved characters decoded.

)";

void append_cell(std::string& out, std::string_view text) {
  for (const char c : text) {
    if (c == '|') out += '\\';
    out += c;
  }
}

std::string value_text(const Row& row) {
  if (row.type == Type::section) {
    return row.shape == Shape::map ? "map of sections" : row.shape == Shape::list ? "list of sections" : "section";
  }
  std::string text(row_of(row.type).name);
  if (!row.choices.empty()) {
    text = choices_text(row.choices);
    if (row.type == Type::log_format) text += ", or a template";
  }
  if (row.shape == Shape::list) text = fmt::format("list of {}", text);
  if (row.shape == Shape::map) text = fmt::format("map from names to {}", text);
  if (const std::string range = range_text(row); !range.empty() && row.range.min != row.range.max) text += ", " + range;
  return text;
}

std::string default_text(const Row& row) {
  if (row.presence == Presence::required) return "**required**";
  return row.fallback.empty() ? "" : fmt::format("`{}`", row.fallback);
}

void append_section(std::string& out, const SectionRow& section) {
  out += section.path.empty() ? "## Top level\n\n" : fmt::format("## `{}`\n\n", section.path);
  out += fmt::format("{}\n\n| key | value | default | |\n|---|---|---|---|\n", section.help);
  std::string later;
  for (const Row& row : rows_of(section.section)) {
    if (row.presence == Presence::later) {
      later += fmt::format("{}`{}`", later.empty() ? "" : ", ", row.key);
      continue;
    }
    out += fmt::format("| `{}` | ", row.key);
    append_cell(out, value_text(row));
    out += fmt::format(" | {} | ", default_text(row));
    append_cell(out, row.help);
    out += " |\n";
  }
  if (!later.empty()) out += fmt::format("\nReserved for later versions, and refused today: {}.\n", later);
  out += '\n';
}

// A table of names in code and what they mean.
template <typename Rows>
void append_names(std::string& out, std::string_view heading, const Rows& rows, bool in_braces) {
  out += fmt::format("| {} | |\n|---|---|\n", heading);
  for (const auto& row : rows) {
    out += in_braces ? fmt::format("| `{{{}}}` | ", row.name) : fmt::format("| `{}` | ", row.name);
    append_cell(out, row.help);
    out += " |\n";
  }
}

void append_variables(std::string& out) {
  out +=
      "## Templates\n\nThe values of `rewrite`, `redirect.to` and `headers` are templates: text with "
      "`{placeholders}`. A placeholder "
      "is a parameter of\nthe route's path pattern, or one of these; `{{` and `}}` are literal braces.\n\n";
  append_names(out, "placeholder", snapshot::variables(), true);
}

void append_log_fields(std::string& out, std::span<const LogFieldRow> fields) {
  out +=
      "\n## Access log\n\nA line of `format: json` is an object with these fields, but for the last three; a "
      "template names them "
      "as `{field}`, with `{{` and `}}`\nfor literal braces, as in `format: '{time} {client_ip} {method} "
      "{path} {status}'`.\n\n";
  append_names(out, "field", fields, false);
}

// --- JSON schema ---

std::string section_name(Section section) {
  const std::string_view path = row_of(section).path;
  if (path.empty()) return "configuration";
  std::string name;
  for (const char c : path.substr(0, path.find(','))) {
    if (c == '.') name += '_';
    if ((to_lower(c) >= 'a' && to_lower(c) <= 'z') || c == '_') name += c;
  }
  return name;
}

// The schema of one value, whatever the row's shape.
std::string value_schema(const Row& row) {
  if (row.type == Type::section) return fmt::format(R"({{"$ref": "#/$defs/{}"}})", section_name(row.child));
  std::string schema(row_of(row.type).json);
  if (row.type == Type::integer && row.range.max > 0) {
    schema = fmt::format(R"({{"type": "integer", "minimum": {}, "maximum": {}}})",
                         row.range.or_zero ? 0 : row.range.min, row.range.max);
  }
  if (row.type == Type::choice) {
    std::string names;
    for (const Choice& choice : row.choices) {
      if (choice.presence != Presence::later)
        names += fmt::format("{}{}", names.empty() ? "" : ", ", json_quoted(choice.name));
    }
    schema = fmt::format(R"({{"enum": [{}]}})", names);
  }
  return fmt::format(R"({{"anyOf": [{}, {{"$ref": "#/$defs/variable"}}]}})", schema);
}

std::string property_schema(const Row& row) {
  const std::string value = value_schema(row);
  std::string shaped = fmt::format(R"("allOf": [{}])", value);
  if (row.shape == Shape::list) shaped = fmt::format(R"("type": ["array", "null"], "items": {})", value);
  if (row.shape == Shape::map) shaped = fmt::format(R"("type": ["object", "null"], "additionalProperties": {})", value);
  std::string help(row.help);
  if (!row.fallback.empty()) help += fmt::format(" Default: {}.", row.fallback);
  return fmt::format(R"({}: {{"description": {}, {}}})", json_quoted(row.key), json_quoted(help), shaped);
}

// `indent`: that of the section's own line.
std::string section_schema(const SectionRow& section, std::string_view indent) {
  std::string properties;
  std::string required;
  for (const Row& row : rows_of(section.section)) {
    if (row.presence == Presence::later) continue;
    properties += fmt::format("{}\n{}    {}", properties.empty() ? "" : ",", indent, property_schema(row));
    if (row.presence == Presence::required)
      required += fmt::format("{}{}", required.empty() ? "" : ", ", json_quoted(row.key));
  }
  std::string schema =
      fmt::format("\"type\": [\"object\"{}],\n{}  \"additionalProperties\": false,\n{}  \"required\": [{}],\n",
                  required.empty() ? ", \"null\"" : "", indent, indent, required);
  if (section.section == Section::route) {
    std::string actions;
    for (const ActionRow& action : route_actions()) {
      actions += fmt::format(R"({}{{"required": [{}]}})", actions.empty() ? "" : ", ", json_quoted(action.key));
    }
    schema += fmt::format("{}  \"oneOf\": [{}],\n", indent, actions);
  }
  if (section.section == Section::endpoint) {
    schema += fmt::format("{}  \"oneOf\": [{{\"required\": [\"address\"]}}, {{\"required\": [\"dns\"]}}],\n", indent);
  }
  return schema + fmt::format("{}  \"properties\": {{{}\n{}  }}", indent, properties, indent);
}

}  // namespace

std::string configuration_markdown(std::span<const LogFieldRow> log_fields) {
  std::string out(kMarkdownHead);
  for (size_t i = 0; i < kSectionCount; ++i) append_section(out, row_of(static_cast<Section>(i)));
  append_variables(out);
  append_log_fields(out, log_fields);
  return out;
}

std::string json_schema() {
  std::string definitions =
      "    \"variable\": {\"description\": \"A scalar with an environment variable in it.\", \"type\": "
      "\"string\", "
      "\"pattern\": \"\\\\$\\\\{\"}";
  for (size_t i = 1; i < kSectionCount; ++i) {
    const SectionRow& section = row_of(static_cast<Section>(i));
    std::string schema = fmt::format("{{\n      {}\n    }}", section_schema(section, "    "));
    if (!section.shorthand.empty()) {
      const Row& row = *find_row(section.section, section.shorthand);
      schema = fmt::format(R"({{"anyOf": [{}, {}]}})", value_schema(row), schema);
    }
    definitions += fmt::format(",\n    {}: {}", json_quoted(section_name(section.section)), schema);
  }
  return fmt::format(
      "{{\n  \"$schema\": \"https://json-schema.org/draft/2020-12/schema\",\n  \"title\": \"Sluice "
      "configuration, version 1\",\n"
      "  {},\n  \"$defs\": {{\n{}\n  }}\n}}\n",
      section_schema(row_of(Section::root), ""), definitions);
}

}  // namespace sluice::control
