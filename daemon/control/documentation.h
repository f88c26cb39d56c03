// What is generated from the schema's rows: docs/configuration.md for people and config/sluice.schema.json for editors. A test
// compares the files with these functions; `cmake --build --preset debug --target docs` writes them anew.
#pragma once

#include <string>

namespace sluice::control {

/// The reference of all keys, in Markdown.
std::string configuration_markdown();
/// A JSON schema (draft 2020-12). It accepts what compile accepts as far as a schema can say it, and a scalar with an
/// environment variable anywhere.
std::string json_schema();

}  // namespace sluice::control
