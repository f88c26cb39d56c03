#include "basic-auth/basic-auth_config.h"

#include <crypt.h>

#include <algorithm>

#include "common/header_syntax.h"

namespace sluice::basic_auth {

namespace {

// nullptr: crypt(3) can check it, and it is worth something.
const char* what_is_wrong(const std::string& hash) {
  constexpr std::string_view kGood[] = {"$2b$", "$2a$", "$2y$", "$5$", "$6$", "$y$", "$gy$", "$7$"};
  const bool known = std::any_of(std::begin(kGood), std::end(kGood), [&](auto each) { return hash.starts_with(each); });
  if (hash.starts_with("$apr1$") || hash.starts_with("{SHA}") || hash.starts_with("$1$"))
    return "is hashed in a way that is broken; make it anew with htpasswd -B";
  if (!known) return "has no hash that is known here ($2y$, $6$, $5$, $y$); make one with htpasswd -B or mkpasswd";
  const size_t made_bytes = hash.size() - hash.rfind('$') - 1;
  const size_t right = hash.starts_with("$2") ? 22 + 31 : hash.starts_with("$6$") ? 86 : 43;
  if (crypt_checksalt(hash.c_str()) == CRYPT_SALT_INVALID || made_bytes != right) return "has a hash that is malformed";
  return nullptr;
}

}  // namespace

Config::Config(Setup& setup) {
  setup["realm"].read(realm);
  if (realm.find_first_of("\"\\") != std::string::npos || !is_field_value(realm))
    setup["realm"].error("a realm holds no quotes, backslashes and control characters");
  challenge = "Basic realm=\"" + realm + "\", charset=\"UTF-8\"";
  read_header(setup["header"]);
  setup["forward_authorization"].read(forward_authorization);
  const Node inline_users = setup["passwords"];
  const Node file = setup["passwords_file"];
  read_users(inline_users, file);
  if (!inline_users && !file) setup.error("users are missing: \"passwords\" or \"passwords_file\"");
  for (const User& user : users) by_name.emplace(user.name, static_cast<uint32_t>(&user - users.data()));
  accepted = setup.counter("accepted");
  cached = setup.counter("cached");
  missing = setup.counter("missing");
  invalid = setup.counter("invalid");
  limited = setup.counter("limited");
  busy = setup.counter("busy");
  hash_time = setup.histogram("hash");
}

void Config::read_header(const Node& node) {
  if (!node.read(header)) return;
  const std::string mistake = why_not_for_upstreams(header);
  if (!mistake.empty()) return node.error(mistake);
  if (reads_like(header, "Authorization")) node.error("the credentials are there; name another header");
}

const User* Config::find(std::string_view name) const {
  const auto found = by_name.find(name);
  return found == by_name.end() ? nullptr : &users[found->second];
}

void Config::read_users(const Node& inline_users, const Node& file) {
  inline_users.for_each([&](const Node& entry, std::string_view name) {
    std::string hash;
    entry.read(hash);
    add(entry, name, hash);
  });
  const auto content = file.file();
  if (!content) return;
  std::string_view rest = *content;
  for (int number = 1; !rest.empty(); ++number) {
    const size_t end = std::min(rest.find('\n'), rest.size());
    std::string_view line = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (line.empty() || line.starts_with('#')) continue;
    const size_t colon = line.find(':');
    if (colon == std::string_view::npos) {
      file.error("line " + std::to_string(number) + " is not of the form name:hash");
      continue;
    }
    // What htpasswd and /etc/shadow put behind another colon is no part of the hash.
    const std::string_view hash = line.substr(colon + 1);
    add(file, line.substr(0, colon), hash.substr(0, hash.find(':')));
  }
  if (users.empty()) file.error("there is no user in it");
}

void Config::add(const Node& where, std::string_view name, std::string_view hash) {
  const std::string text(hash);
  const bool known = std::any_of(users.begin(), users.end(), [name](const User& user) { return user.name == name; });
  if (name.empty() || name.find(':') != std::string_view::npos || !is_field_value(name)) {
    where.error("\"" + std::string(name) + "\" is not the name of a user");
  } else if (known) {
    where.error("user \"" + std::string(name) + "\" is there twice");
  } else if (const char* why = what_is_wrong(text)) {
    where.error("user \"" + std::string(name) + "\" " + why);
  } else {
    users.push_back({std::string(name), text});
  }
}

}  // namespace sluice::basic_auth
