#include "cors/cors_config.h"

#include "common/header_syntax.h"

namespace sluice::cors {

namespace {

// The list as the value of a field.
std::string joined(Node list, bool credentials, std::string_view what) {
  std::string value;
  list.for_each_in_list([&](Node entry) {
    std::string text;
    if (!entry.read(text)) return;
    if (!is_token(text)) return entry.error("\"" + text + "\" is not " + std::string(what));
    if (text == "*" && credentials) return entry.error("with credentials, browsers do not read * as all: list them");
    value += (value.empty() ? "" : ", ") + text;
  });
  return value;
}

}  // namespace

Config::Config(Setup& setup)
    : methods("GET, HEAD, POST"), preflight(setup.counter("preflight")), denied(setup.counter("denied")) {
  setup["credentials"].read(credentials);
  const Node wanted = setup["origins"];
  bool is_empty = true;
  wanted.for_each_in_list([&](Node entry) {
    is_empty = false;
    std::string pattern;
    if (!entry.read(pattern)) return;
    const std::string mistake = origins.add(pattern);
    if (!mistake.empty()) entry.error(mistake);
    if (pattern == "*" && credentials)
      entry.error("with credentials, any page could act as the user: list the origins that may");
  });
  if (is_empty) wanted ? wanted.error("no origin is allowed") : setup.error("\"origins\" is missing");
  origins.sort();
  if (const Node node = setup["methods"]) methods = joined(node, credentials, "a method");
  headers = joined(setup["headers"], credentials, "the name of a header");
  expose_headers = joined(setup["expose_headers"], credentials, "the name of a header");
  std::chrono::milliseconds age = std::chrono::minutes(10);
  setup["max_age"].read(age, std::chrono::milliseconds(0), std::chrono::hours(24));
  max_age = std::to_string(std::chrono::duration_cast<std::chrono::seconds>(age).count());
}

}  // namespace sluice::cors
