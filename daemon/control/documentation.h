// What is generated from the schema's rows: docs/configuration.md for people and config/sluice.schema.json
// for editors. A test compares the files with these functions; `cmake --build --preset debug --target docs`
// writes them anew.
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace sluice::control {

/// A field of the access log; their table is the proxy's (proxy/access_log_format.h).
struct LogFieldRow {
  std::string_view name;
  std::string_view help;
};

/// The reference of all keys, in Markdown.
std::string configuration_markdown(std::span<const LogFieldRow> log_fields);
/// A JSON schema (draft 2020-12). It accepts what compile accepts as far as a schema can say it, and a scalar
/// with an environment variable anywhere.
std::string json_schema();

}  // namespace sluice::control
