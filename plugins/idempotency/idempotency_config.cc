#include "idempotency/idempotency_config.h"

#include <algorithm>

#include "common/header_syntax.h"

namespace sluice::idempotency {

namespace {

using namespace std::chrono_literals;

constexpr uint64_t kMaxBodyBytes = 120 * 1024;  // a gateway takes 128 KiB from a plugin
constexpr int64_t kMaxCapacity = 100'000'000;

// What says how the answer is to be read. Set-Cookie is not among them: what it sets is not for whoever asks again.
const char* const kDefaultHeaders[] = {"Content-Type",
                                       "Content-Encoding",
                                       "Content-Language",
                                       "Content-Location",
                                       "Location",
                                       "Content-Disposition",
                                       "ETag",
                                       "Last-Modified",
                                       "Cache-Control",
                                       "Vary",
                                       "Link",
                                       "Retry-After",
                                       "WWW-Authenticate"};

void check_header(const Node& node, std::string_view name) {
  if (!is_token(name)) node.error("\"" + std::string(name) + "\" is no name of a header");
}

void read_headers(const Node& list, std::vector<std::string>& names) {
  if (!list) return;
  names.clear();
  list.for_each_in_list([&](Node entry) {
    std::string name;
    if (!entry.read(name)) return;
    check_header(entry, name);
    names.push_back(name);
  });
}

}  // namespace

Config::Config(Setup& setup)
    : headers(std::begin(kDefaultHeaders), std::end(kDefaultHeaders)),
      prefix("idempotency:" + std::string(setup.instance()) + ":") {
  read_request(setup);
  read_times(setup);
  read_result(setup);
  setup["on_unknown"].choose(retry_unknown, {{"reject", false}, {"retry", true}});
  setup["on_store_error"].choose(open_on_store_error, {{"open", true}, {"closed", false}});
  store = setup.store("store");
  read_filter(setup);
  add_counters(setup);
}

bool Config::covers(std::string_view method) const {
  return std::find(methods.begin(), methods.end(), method) != methods.end();
}

bool Config::keeps(std::string_view name) const {
  return std::any_of(headers.begin(), headers.end(), [&](auto& each) { return equals_ignoring_case(each, name); });
}

void Config::read_request(const Setup& setup) {
  if (setup["header"].read(header)) check_header(setup["header"], header);
  if (const Node node = setup["methods"]) {
    methods.clear();
    node.for_each_in_list([&](Node entry) {
      entry.choose<std::string>(methods.emplace_back(),
                                {{"POST", "POST"}, {"PATCH", "PATCH"}, {"PUT", "PUT"}, {"DELETE", "DELETE"}});
    });
    if (methods.empty()) node.error("names no method, so nothing would be protected");
  }
  setup["required"].read(required);
  read_headers(setup["fingerprint"], fingerprint);
  if (const Node node = setup["scope"]) read_scope(node);
}

void Config::read_scope(const Node& node) {
  scope.clear();
  node.for_each_in_list([&](Node entry) {
    std::string text;
    if (!entry.read(text)) return;
    const size_t colon = text.find(':');
    const std::string kind = text.substr(0, colon);
    const std::string name = colon == std::string::npos ? "" : text.substr(colon + 1);
    if (text == "subject") return scope.push_back({ScopePart::Kind::subject, ""});
    if (text == "client") return scope.push_back({ScopePart::Kind::client, ""});
    if (text == "host") return scope.push_back({ScopePart::Kind::host, ""});
    if (kind == "shared" && !name.empty()) return scope.push_back({ScopePart::Kind::shared, name});
    if (kind == "header" && is_token(name)) return scope.push_back({ScopePart::Kind::header, name});
    entry.error("\"" + text + "\" is no part of a scope; write subject, client, host, header:<name> or shared:<name>");
  });
}

void Config::read_times(const Setup& setup) {
  setup["ttl"].read(ttl, 1s, 24h * 30);
  setup["lease"].read(lease, 300ms, 1h);
  setup["clock_skew"].read(clock_skew, 0ms, 10min);
  bool waits = false;
  setup["in_flight"].choose(waits, {{"reject", false}, {"wait", true}});
  std::chrono::milliseconds longest = 5s;
  const Node node = setup["wait"];
  node.read(longest, 1ms, 30s);
  if (node && !waits) node.error("\"wait\" needs \"in_flight: wait\"");
  if (waits) wait = longest;
  if (lease + clock_skew > ttl) setup.error("\"ttl\" is shorter than \"lease\" and \"clock_skew\" together");
}

void Config::read_result(const Setup& setup) {
  setup["max_body"].read_size(max_body_bytes, 0, kMaxBodyBytes);
  const Node node = setup["headers"];
  read_headers(node, headers);
  for (const std::string& name : headers) {
    if (is_of_the_gateway(name)) node.error("\"" + name + "\" is a header of the connection, not of a result");
  }
}

void Config::read_filter(const Setup& setup) {
  bool sole = false;
  setup["sole_gateway"].read(sole);
  const Node node = setup["bloom"];
  if (!node) return;
  int64_t capacity = 1'000'000;
  double false_positives = 0.001;
  node["capacity"].read(capacity, 1, kMaxCapacity);
  node["false_positives"].read(false_positives, 0.000001, 0.5);
  if (!sole)
    return node.error(
        "\"bloom\" needs \"sole_gateway: true\": keys that another gateway saw are not in this one's filter, so a "
        "request could be "
        "carried out twice");
  if (!open_on_store_error)
    return node.error("\"bloom\" says what may pass while the store is away, so it needs \"on_store_error: open\"");
  seen = SeenKeys::of(prefix, static_cast<uint64_t>(capacity), false_positives, ttl);
}

void Config::add_counters(const Setup& setup) {
  first = setup.counter("first");
  replayed = setup.counter("replayed");
  in_flight = setup.counter("in_flight");
  mismatched = setup.counter("mismatched");
  missing = setup.counter("missing");
  invalid = setup.counter("invalid");
  unknown = setup.counter("unknown");
  outcome_lost = setup.counter("outcome_lost");
  too_large = setup.counter("too_large");
  released = setup.counter("released");
  renewed = setup.counter("renewed");
  taken_over = setup.counter("taken_over");
  store_errors = setup.counter("store_errors");
  unprotected = setup.counter("unprotected");
  lost = setup.counter("completions_lost");
  not_stored = setup.counter("not_stored");
}

}  // namespace sluice::idempotency
