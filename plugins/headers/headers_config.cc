#include "headers/headers_config.h"

#include <chrono>

#include "common/header_syntax.h"

namespace sluice::headers {

namespace {

bool check_name(Node node, std::string_view name) {
  if (!is_token(name)) {
    node.error("\"" + std::string(name) + "\" is not the name of a header");
    return false;
  }
  if (!is_of_the_gateway(name)) return true;
  node.error(std::string(name) + " is the gateway's own and cannot be changed");
  return false;
}

void read_fields(Node map, Side side, std::vector<Field>& fields) {
  if (!map) return;
  if (!map.is_map()) return map.error("a map from names to values is expected");
  map.for_each([&](Node entry, std::string_view name) {
    Field field{std::string(name), {}};
    if (!entry.read(field.value) || !check_name(entry, name)) return;
    if (side == Side::request && is_remade_for_upstreams(name))
      return entry.error(
          "it would not arrive, since the gateway makes it anew for upstreams; set it by `headers` of a route");
    if (!is_field_value(field.value)) return entry.error("the value has control characters, or white space at an end");
    fields.push_back(std::move(field));
  });
}

void read_edits(Node node, Side side, Edits& edits) {
  if (!node) return;
  if (!node.is_map()) return node.error("a map with keys is expected");
  node["remove"].for_each_in_list([&](Node entry) {
    std::string& name = edits.remove.emplace_back();
    if (entry.read(name)) check_name(entry, name);
  });
  read_fields(node["set"], side, edits.set);
  read_fields(node["add"], side, edits.add);
  read_fields(node["default"], side, edits.fallback);
}

// The preset of that name as a field, unless it is off.
void read_security(Node node, std::vector<Field>& fields) {
  if (!node) return;
  if (!node.is_map()) return node.error("a map with keys is expected");
  bool nosniff = true;
  node["nosniff"].read(nosniff);
  if (nosniff) fields.push_back({"X-Content-Type-Options", "nosniff"});

  std::string_view frames = "DENY";
  node["frame_options"].choose(frames, {{"deny", "DENY"}, {"sameorigin", "SAMEORIGIN"}, {"off", ""}});
  if (!frames.empty()) fields.push_back({"X-Frame-Options", std::string(frames)});

  std::string_view referrer = "strict-origin-when-cross-origin";
  node["referrer_policy"].choose(referrer, {{"no-referrer", "no-referrer"},
                                            {"no-referrer-when-downgrade", "no-referrer-when-downgrade"},
                                            {"origin", "origin"},
                                            {"origin-when-cross-origin", "origin-when-cross-origin"},
                                            {"same-origin", "same-origin"},
                                            {"strict-origin", "strict-origin"},
                                            {"strict-origin-when-cross-origin", "strict-origin-when-cross-origin"},
                                            {"unsafe-url", "unsafe-url"},
                                            {"off", ""}});
  if (!referrer.empty()) fields.push_back({"Referrer-Policy", std::string(referrer)});

  const Node hsts = node["hsts"];
  if (!hsts) return;
  if (!hsts.is_map()) return hsts.error("a map with \"max_age\" is expected");
  if (!hsts["max_age"]) hsts.error("\"max_age\" is missing");
  std::chrono::milliseconds age{0};
  bool subdomains = false;
  bool preload = false;
  hsts["max_age"].read(age, std::chrono::milliseconds(0), std::chrono::hours(24) * 3650);
  hsts["include_subdomains"].read(subdomains);
  hsts["preload"].read(preload);
  if (preload && (!subdomains || age < std::chrono::hours(24) * 365))
    hsts["preload"].error("browsers' lists take only sites with a max_age of a year (8760h) and include_subdomains");
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(age).count();
  fields.push_back({"Strict-Transport-Security", "max-age=" + std::to_string(seconds) +
                                                     (subdomains ? "; includeSubDomains" : "") +
                                                     (preload ? "; preload" : "")});
}

}  // namespace

EditCounters::EditCounters(const Setup& setup, std::string_view direction)
    : removed(setup.counter(std::string(direction) + "_removed")),
      set(setup.counter(std::string(direction) + "_set")),
      added(setup.counter(std::string(direction) + "_added")) {}

Config::Config(Setup& setup) : request_counters(setup, "request"), response_counters(setup, "response") {
  if (!setup["request"] && !setup["response"] && !setup["security"])
    setup.error("one of \"request\", \"response\" and \"security\" must be there");
  read_edits(setup["request"], Side::request, request);
  read_edits(setup["response"], Side::response, response);
  read_security(setup["security"], response.fallback);
}

}  // namespace sluice::headers
