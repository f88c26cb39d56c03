// api-key: lets requests pass that bring a key, and says whose it is. As a listener's plugin it does so before routing.
#include <array>
#include <span>

#include "api-key/api-key_config.h"
#include "common/header_syntax.h"
#include "common/strip_fields.h"

namespace sluice::api_key {

namespace {

constexpr size_t kLongestKey = 1024;

int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  const char small = lower(c);
  return small >= 'a' && small <= 'f' ? small - 'a' + 10 : -1;
}

// With %XX decoded; nothing if that is malformed, or too long for `out`.
std::optional<std::string_view> decode_percent(std::string_view text, std::span<char> out) {
  size_t at = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    if (at == out.size()) return std::nullopt;
    out[at] = text[i];
    if (text[i] == '%') {
      if (i + 2 >= text.size() || hex_value(text[i + 1]) < 0 || hex_value(text[i + 2]) < 0) return std::nullopt;
      out[at] = static_cast<char>(hex_value(text[i + 1]) * 16 + hex_value(text[i + 2]));
      i += 2;
    }
    ++at;
  }
  return std::string_view(out.data(), at);
}

}  // namespace

struct Worker {
  explicit Worker(WorkerHandle) {}

  Sha256 sha256;
  std::array<char, kLongestKey> decoded;
};

class Filter {
 public:
  explicit Filter(Exchange exchange) : exchange_(exchange) {}

  Verdict on_begin() {
    Found found;
    look_in_headers(found);
    look_in_query(found);
    if (found.count == 0) return refuse(config().missing, "api_key_missing", "A key is needed.");
    const std::string* consumer = nullptr;
    if (found.count == 1 && !found.key.empty() && found.key.size() <= kLongestKey)
      consumer = config().keys.find(exchange_.worker_state<Worker>().sha256, found.key);
    if (consumer == nullptr) return refuse(config().invalid, "api_key_invalid", "The key is not known.");
    return accept(*consumer);
  }

 private:
  // Where a key was, and how often something was there.
  struct Found {
    std::string_view key;
    size_t count = 0;
    void add(std::string_view text) {
      key = text;
      ++count;
    }
  };

  [[nodiscard]] const Config& config() const { return exchange_.config<Config>(); }

  void look_in_headers(Found& found) const {
    if (!config().header.empty()) {
      for (size_t i = 0; const auto value = exchange_.header(Side::request, config().header, i); ++i) found.add(*value);
    }
    if (!config().scheme.empty()) {
      size_t fields = 0;
      bool is_there = false;
      for (; const auto value = exchange_.header(Side::request, "Authorization", fields); ++fields) {
        const size_t space = value->find(' ');
        if (space == std::string_view::npos || !equals_ignoring_case(value->substr(0, space), config().scheme))
          continue;
        found.add(value->substr(std::min(value->find_first_not_of(' ', space), value->size())));
        is_there = true;
      }
      // Authorization is no list: who knows which one the upstream would read.
      if (is_there && fields > 1) ++found.count;
    }
  }

  void look_in_query(Found& found) const {
    if (config().query.empty()) return;
    std::string_view query = exchange_.fact(SLUICE_QUERY);
    while (!query.empty()) {
      const std::string_view pair = query.substr(0, query.find('&'));
      query.remove_prefix(std::min(pair.size() + 1, query.size()));
      const size_t equals = pair.find('=');
      if (equals == std::string_view::npos || pair.substr(0, equals) != config().query) continue;
      found.add(decode_percent(pair.substr(equals + 1), exchange_.worker_state<Worker>().decoded).value_or(""));
    }
  }

  Verdict accept(const std::string& consumer) {
    exchange_.worker().count(config().accepted);
    exchange_.set_shared("auth.user", consumer);
    exchange_.set_shared("consumer", consumer);
    if (!config().forward_key) {
      if (!config().header.empty()) exchange_.remove_header(Side::request, config().header);
      if (!config().scheme.empty()) remove_authorization();
    }
    if (!config().consumer_header.empty()) {
      strip_field(exchange_, config().consumer_header);
      exchange_.set_header(Side::request, config().consumer_header, consumer);
    }
    return Verdict::go_on;
  }

  // Unless it is of another scheme, and so for the upstream.
  void remove_authorization() const {
    const auto value = exchange_.header(Side::request, "Authorization");
    if (value && equals_ignoring_case(value->substr(0, value->find(' ')), config().scheme))
      exchange_.remove_header(Side::request, "Authorization");
  }

  Verdict refuse(uint32_t counter, std::string_view reason, std::string_view detail) {
    exchange_.worker().count(counter);
    const Header challenge{"WWW-Authenticate", config().challenge};
    return exchange_.respond({.status = 401, .headers = {&challenge, 1}, .reason = reason, .detail = detail});
  }

  Exchange exchange_;
};

}  // namespace sluice::api_key

SLUICE_PLUGIN("api-key", "1.0", sluice::api_key::Config, sluice::api_key::Worker, sluice::api_key::Filter)
