#include "api-key/api-key_config.h"

#include <algorithm>

#include "common/header_syntax.h"

namespace sluice::api_key {

namespace {

constexpr std::string_view kHashed = "sha256:";

// The digest that `text` writes as sha256:<hex>.
std::optional<Digest> hashed(std::string_view text) {
  if (!text.starts_with(kHashed)) return std::nullopt;
  return parse_digest(text.substr(kHashed.size()));
}

std::string_view trimmed(std::string_view text) {
  text.remove_prefix(std::min(text.find_first_not_of(" \t\r"), text.size()));
  return text.substr(0, text.find_last_not_of(" \t\r") + 1);
}

}  // namespace

bool KeyTable::add(const Digest& key, std::string_view consumer) {
  return consumers_.emplace(Sha256()({as_text(secret_), as_text(key)}), consumer).second;
}

const std::string* KeyTable::find(const Sha256& sha256, std::string_view key) const {
  const Digest digest = sha256({key});
  const auto found = consumers_.find(sha256({as_text(secret_), as_text(digest)}));
  return found == consumers_.end() ? nullptr : &found->second;
}

Config::Config(Setup& setup) {
  const auto read_name = [&](std::string_view key, std::string& name) {
    const Node node = setup[key];
    node.read(name);
    if (node && !name.empty() && !is_token(name)) node.error("\"" + name + "\" is not a name");
  };
  read_name("header", header);
  read_name("query", query);
  read_name("scheme", scheme);
  const Node consumer = setup["consumer_header"];
  consumer.read(consumer_header);
  const std::string mistake = consumer_header.empty() ? "" : why_not_for_upstreams(consumer_header);
  if (!mistake.empty()) consumer.error(mistake);
  setup["forward_key"].read(forward_key);
  if (header.empty() && query.empty() && scheme.empty())
    setup.error("nothing is looked at: name a \"header\", a \"query\" parameter or a \"scheme\" of Authorization");
  if (equals_ignoring_case(scheme, "basic")) setup["scheme"].error("that is for the plugin basic-auth");
  std::string realm = "api";
  setup["realm"].read(realm);
  if (realm.find_first_of("\"\\") != std::string::npos || !is_field_value(realm))
    setup["realm"].error("a realm holds no quotes, backslashes and control characters");
  challenge = (scheme.empty() ? "ApiKey" : scheme) + " realm=\"" + realm + "\"";

  const Node inline_keys = setup["keys"];
  const Node file = setup["keys_file"];
  read_inline(inline_keys);
  read_file(file);
  if (!inline_keys && !file) setup.error("keys are missing: \"keys\" or \"keys_file\"");
  accepted = setup.counter("accepted");
  missing = setup.counter("missing");
  invalid = setup.counter("invalid");
}

void Config::read_inline(const Node& given) {
  given.for_each([&](const Node& entry, std::string_view consumer) {
    std::vector<std::string> texts;
    entry.read(texts);
    for (const std::string& text : texts) {
      const auto key = hashed(text);
      if (!key) entry.error("keys stand here as sha256:<64 hex digits>, as of: printf %s KEY | sha256sum");
      if (key) add(entry, consumer, key);
    }
  });
}

void Config::read_file(const Node& file) {
  const auto content = file.file();
  if (!content) return;
  std::string_view rest = *content;
  for (int number = 1; !rest.empty(); ++number) {
    const size_t end = std::min(rest.find('\n'), rest.size());
    const std::string_view line = trimmed(rest.substr(0, end));
    rest.remove_prefix(std::min(end + 1, rest.size()));
    if (line.empty() || line.starts_with('#')) continue;
    const size_t colon = line.find(':');
    const std::string_view text = trimmed(line.substr(std::min(colon, line.size() - 1) + 1));
    const std::string where = "line " + std::to_string(number) + " ";
    if (colon == std::string_view::npos || text.empty()) {
      file.error(where + "is not of the form consumer: key");
    } else if (text.starts_with(kHashed) && !hashed(text)) {
      file.error(where + "has a sha256: that is not followed by 64 hex digits");
    } else {
      add(file, trimmed(line.substr(0, colon)), text.starts_with(kHashed) ? hashed(text) : Sha256()({text}));
    }
  }
  if (keys.empty()) file.error("there is no key in it");
}

void Config::add(const Node& where, std::string_view consumer, const std::optional<Digest>& key) {
  if (consumer.empty() || !is_field_value(consumer)) {
    where.error("\"" + std::string(consumer) + "\" is not the name of a consumer");
  } else if (!keys.add(*key, consumer)) {
    where.error("a key of \"" + std::string(consumer) + "\" is there twice");
  }
}

}  // namespace sluice::api_key
