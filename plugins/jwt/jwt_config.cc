#include "jwt/jwt_config.h"

#include <algorithm>

#include "common/header_syntax.h"

namespace sluice::jwt {

namespace {

using std::chrono::milliseconds;

constexpr size_t kMinSecretBytes = 32;

std::optional<AlgorithmSet> read_algorithms(const Node& node) {
  if (!node) return std::nullopt;
  AlgorithmSet set;
  node.for_each_in_list([&](const Node& entry) {
    std::string name;
    if (!entry.read(name)) return;
    if (const auto algorithm = algorithm_named(name)) return set.add(*algorithm);
    std::string known;
    for (const AlgorithmRow& row : kAlgorithms) known += (known.empty() ? "" : ", ") + std::string(row.name);
    entry.error("\"" + name + "\" is not one of " + known);
  });
  return set;
}

// Tools that write a file end it with a line end, which is no part of the secret.
std::string_view without_line_end(std::string_view text) {
  if (text.ends_with('\n')) text.remove_suffix(1);
  if (text.ends_with('\r')) text.remove_suffix(1);
  return text;
}

}  // namespace

Config::Config(Setup& setup) {
  read_sources(setup);
  read_place(setup);
  read_claims(setup);
  setup["required"].read(required);
  setup["forward"].read(forward);
  if (!forward && place == Place::query)
    setup["forward"].error("a token in the query always goes on: a plugin cannot change the target");
  uint64_t max_bytes = rules.max_bytes;
  setup["max_token"].read_size(max_bytes, 256, 65536);
  rules.max_bytes = max_bytes;
  setup["wait"].read(wait, milliseconds(0), milliseconds(30'000));
  const Node cache = setup["cache"];
  cache["max_bytes"].read_size(cache_bytes, 0, uint64_t{1} << 30);
  cache["ttl"].read(cache_time, milliseconds(1'000), milliseconds(300'000));
  write_challenges(setup);

  for (size_t i = 1; i < refused.size(); ++i) refused[i] = setup.counter(kRefusals[i].name);
  accepted = setup.counter("accepted");
  cached = setup.counter("cached");
  anonymous = setup.counter("anonymous");
  unavailable = setup.counter("unavailable");
  remote_counters = {setup.counter("jwks_fetched"), setup.counter("jwks_failed")};
  verify_time = setup.histogram("verify");
}

void Config::read_sources(Setup& setup) {
  const auto algorithms = read_algorithms(setup["algorithms"]);
  const Node sources = setup["keys"];
  if (!sources) return setup.error("\"keys\" is missing: what tokens are verified with");
  size_t count = 0;
  sources.for_each_in_list([&](const Node& source) {
    ++count;
    read_source(source, algorithms);
  });
  if (count == 0) sources.error("names no key, so no token could ever be good");
}

void Config::read_source(const Node& source, const std::optional<AlgorithmSet>& algorithms) {
  if (!source.is_map()) return source.error("a map is expected, such as {pem_file: issuer.pem}");
  const Node secret = source["secret"];
  const Node secret_file = source["secret_file"];
  const Node pem_file = source["pem_file"];
  const Node jwks_file = source["jwks_file"];
  const Node remote = source["jwks"];
  KeyRules key_rules{.algorithms = algorithms};
  if (const Node own = source["algorithms"]) key_rules.algorithms = read_algorithms(own);
  source["id"].read(key_rules.id);
  source["issuer"].read(key_rules.issuer);
  int given = 0;
  for (const Node* each : {&secret, &secret_file, &pem_file, &jwks_file, &remote}) given += *each ? 1 : 0;
  if (given != 1)
    return source.error("one of secret, secret_file, pem_file, jwks_file and jwks is needed, and only one");
  if (source["id"] && (jwks_file || remote)) return source["id"].error("the keys of a set bring their own");
  if (remote) return read_remote(remote, key_rules);

  std::string text;
  const Node& where = secret ? secret : secret_file ? secret_file : pem_file ? pem_file : jwks_file;
  if (secret) {
    if (!secret.read(text)) return;
  } else {
    auto content = where.file();
    if (!content) return;
    text = std::move(*content);
  }
  if (pem_file) {
    if (text.find("PRIVATE KEY-----") != std::string::npos)
      return where.error(
          "holds a private key, which verifying does not need; make the public one: openssl pkey -pubout");
    auto key = VerifyKey::of_pem(text);
    if (!key)
      return where.error(
          "holds no PEM block PUBLIC KEY or CERTIFICATE with a key of RSA (2048 to 8192 bits), P-256, P-384, P-521 or "
          "Ed25519");
    return add(where, std::move(*key), key_rules);
  }
  if (jwks_file) {
    auto parsed = parse_keys(text, key_rules);
    if (!parsed) return where.error("holds no JWK and no JWK Set");
    if (parsed->keys.empty()) return where.error("holds no key that can be used: " + parsed->skipped);
    if (!parsed->skipped.empty()) where.warning("not used: " + parsed->skipped);
    keys.insert(keys.end(), parsed->keys.begin(), parsed->keys.end());
    return;
  }
  const std::string_view bytes = secret ? std::string_view(text) : without_line_end(text);
  if (bytes.find("-----BEGIN ") != std::string_view::npos)
    return where.error("is no secret but a key in PEM, which whoever verifies may know: name it as pem_file");
  if (bytes.size() < kMinSecretBytes)
    return where.error("a secret has at least 32 bytes (RFC 7518, 3.2): openssl rand -hex 32");
  add(where, VerifyKey::of_secret(bytes), key_rules);
}

void Config::add(const Node& where, VerifyKey key, const KeyRules& key_rules) {
  const AlgorithmSet algorithms = algorithms_for(key.kind(), std::nullopt, key_rules);
  if (algorithms.empty()) return where.error("none of the algorithms that are allowed fits this key");
  keys.push_back(std::make_shared<const Key>(Key{std::move(key), key_rules.id, algorithms, key_rules.issuer}));
}

void Config::read_remote(const Node& node, const KeyRules& key_rules) {
  if (!node.is_map()) return node.error("a map is expected, such as {upstream: issuer}");
  RemoteRules& remote = remotes.emplace_back();
  remote.keys = key_rules;
  remote.keys.secrets = false;
  const Node upstream = node["upstream"];
  if (!upstream) node.error("\"upstream\" is missing: which one is asked for the keys");
  remote.upstream = upstream.upstream();
  const Node path = node["path"];
  path.read(remote.path);
  const bool is_visible =
      std::all_of(remote.path.begin(), remote.path.end(), [](char c) { return c > ' ' && c < 0x7f; });
  if (!remote.path.starts_with('/') || !is_visible) path.error("a path begins with a slash and has no spaces");
  node["host"].read(remote.host);
  node["refresh"].read(remote.refresh, milliseconds(1'000), milliseconds(86'400'000));
  node["min_interval"].read(remote.min_interval, milliseconds(100), milliseconds(3'600'000));
  node["timeout"].read(remote.timeout, milliseconds(10), milliseconds(60'000));
}

void Config::read_place(Setup& setup) {
  const Node from = setup["from"];
  if (!from) return;
  if (!from.is_map()) return from.error("a map is expected: {header: NAME}, {cookie: NAME} or {query: NAME}");
  const std::pair<Node, Place> choices[] = {
      {from["header"], Place::header}, {from["cookie"], Place::cookie}, {from["query"], Place::query}};
  int given = 0;
  for (const auto& [node, which] : choices) {
    if (!node) continue;
    ++given;
    place = which;
    if (node.read(place_name) && !is_token(place_name)) node.error("\"" + place_name + "\" is not a name");
  }
  if (given != 1) from.error("one of header, cookie and query is needed, and only one");
}

void Config::read_claims(Setup& setup) {
  setup["issuer"].read(rules.issuers);
  setup["audience"].read(rules.audiences);
  setup["type"].read(rules.types);
  rules.required_claims = {"exp"};
  setup["required_claims"].read(rules.required_claims);
  setup["scopes"].read(rules.scopes);
  for (const std::string& scope : rules.scopes) {
    const bool is_word = !scope.empty() && std::all_of(scope.begin(), scope.end(), [](char c) {
      return c > ' ' && c < 0x7f && c != '"' && c != '\\';
    });
    if (!is_word) setup["scopes"].error("\"" + scope + "\" is no scope");
  }
  milliseconds skew = std::chrono::duration_cast<milliseconds>(rules.skew);
  setup["skew"].read(skew, milliseconds(0), milliseconds(3'600'000));
  rules.skew = skew;
  const Node headers = setup["claims_to_headers"];
  if (headers && !headers.is_map()) return headers.error("a map from claims to headers is expected");
  headers.for_each([&](const Node& entry, std::string_view claim) {
    std::string header;
    if (!entry.read(header)) return;
    const std::string mistake = why_not_for_upstreams(header);
    if (!mistake.empty()) return entry.error(mistake);
    const std::string_view of_the_token = place == Place::authorization ? "Authorization"
                                          : place == Place::cookie      ? "Cookie"
                                          : place == Place::header      ? std::string_view(place_name)
                                                                        : "";
    if (reads_like(header, of_the_token))
      return entry.error("the token is there, and what a client sends in " + header + " would be dropped");
    rules.headers.push_back({std::string(claim), header});
  });
}

void Config::write_challenges(Setup& setup) {
  std::string realm = "api";
  setup["realm"].read(realm);
  if (realm.find_first_of("\"\\") != std::string::npos || !is_field_value(realm))
    setup["realm"].error("a realm holds no quotes, backslashes and control characters");
  const std::string bare = "Bearer realm=\"" + realm + "\"";
  for (size_t i = 1; i < challenges.size(); ++i) {
    challenges[i] = bare + ", error=\"invalid_token\", error_description=\"" + std::string(kRefusals[i].text) + "\"";
  }
  // RFC 6750 §3.1: who brought nothing is told nothing.
  challenges[static_cast<size_t>(Refusal::missing)] = bare;
  std::string scopes;
  for (const std::string& scope : rules.scopes) scopes += (scopes.empty() ? "" : " ") + scope;
  challenges[static_cast<size_t>(Refusal::scope)] = bare + ", error=\"insufficient_scope\", scope=\"" + scopes + "\"";
}

}  // namespace sluice::jwt
