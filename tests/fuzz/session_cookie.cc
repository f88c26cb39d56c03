// The cookies that a client sends, a Cookie field a line: what session and jwt find among them, and what goes on without it.
#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "check.h"
#include "session/cookie.h"

using namespace sluice;

namespace {

constexpr std::string_view kName = "sid";

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

std::vector<std::string_view> split(std::string_view text, char mark) {
  std::vector<std::string_view> parts(1);
  for (const char& c : text) {
    if (c == mark) {
      parts.emplace_back();
    } else {
      parts.back() = {parts.back().empty() ? &c : parts.back().data(), parts.back().size() + 1};
    }
  }
  return parts;
}

bool is_named(std::string_view pair) { return trimmed(split(pair, '=').front()) == kName; }

// The others, in their order; empty ones say nothing.
void add_others(std::string_view field, std::vector<std::string>& others) {
  for (const std::string_view pair : split(field, ';')) {
    if (!trimmed(pair).empty() && !is_named(pair)) others.emplace_back(trimmed(pair));
  }
}

void check_value(std::string_view value) {
  const auto parsed = session::parse_cookie_value(value);
  if (!parsed) return;
  FUZZ_CHECK(session::is_id(parsed->id) && parsed->id.size() == session::kIdBytes);
  FUZZ_CHECK(parsed->tag.empty() || session::is_id(parsed->tag));
  FUZZ_CHECK(value == std::string(parsed->id) + (parsed->tag.empty() ? "" : "." + std::string(parsed->tag)));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string bytes(reinterpret_cast<const char*>(data), size);
  check_value(bytes);
  NamedCookies cookies(kName);
  std::string rest;
  std::vector<std::string> values;
  std::vector<std::string> others;
  const std::vector<std::string_view> lines = split(bytes, '\n');
  // Memory of their own: a byte too many is noticed.
  const std::vector<std::string> fields(lines.begin(), lines.end());
  for (const std::string& field : fields) {
    cookies.add(field);
    leave_out(field, kName, rest);
    add_others(field, others);
    for (const std::string_view pair : split(field, ';')) {
      if (is_named(pair) && pair.find('=') != std::string_view::npos)
        values.emplace_back(trimmed(pair.substr(pair.find('=') + 1)));
    }
  }
  FUZZ_CHECK(cookies.count == values.size());
  FUZZ_CHECK(values.empty() || cookies.value == values.front());
  const bool differ = std::any_of(values.begin(), values.end(), [&](auto& value) { return value != values.front(); });
  FUZZ_CHECK(cookies.ambiguous == differ);
  FUZZ_CHECK(!session::parse_cookies(cookies) || (!values.empty() && !differ));
  check_value(cookies.value);

  std::vector<std::string> kept;
  add_others(rest, kept);
  FUZZ_CHECK(kept == others);
  const std::vector<std::string_view> pairs = split(rest, ';');
  FUZZ_CHECK(std::none_of(pairs.begin(), pairs.end(), is_named));
  return 0;
}
