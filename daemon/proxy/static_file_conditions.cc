#include "proxy/static_file_conditions.h"

#include <algorithm>

#include "base/strings.h"
#include "http/serializer.h"

namespace sluice::proxy {

namespace {

using http::HeaderId;

enum class Compare { strong, weak };

bool same_etag(std::string_view given, std::string_view current, Compare compare) {
  if (given.starts_with("W/")) {
    if (compare == Compare::strong) return false;
    given.remove_prefix(2);
  }
  return given == current;
}

// Splitting at every comma is enough: a tag with a comma in it is not one of ours, and neither half can look
// like one.
bool lists_etag(const http::HeaderMap& headers, HeaderId id, std::string_view current, Compare compare) {
  for (const http::HeaderField& field : headers) {
    if (field.id != id) continue;
    if (field.value == "*") return true;
    std::string_view rest = field.value;
    std::string_view tag;
    while (next_in_list(rest, tag)) {
      if (same_etag(tag, current, compare)) return true;
    }
  }
  return false;
}

// The field's date; nothing if it is absent, repeated or not a date (then §13.1.3 says to ignore it).
std::optional<int64_t> date_of(const http::HeaderMap& headers, HeaderId id) {
  if (!headers.has(id) || headers.count(id) != 1) return std::nullopt;
  const int64_t seconds = http::parse_http_date(headers.value(id));
  return seconds < 0 ? std::nullopt : std::optional(seconds);
}

// §13.1.5. A date must be exactly ours: an earlier or later one names another state of the file.
bool if_range_holds(const http::HeaderMap& headers, const Validators& current) {
  if (!headers.has(HeaderId::if_range)) return true;
  const std::string_view value = headers.value(HeaderId::if_range);
  if (value.starts_with('"') || value.starts_with("W/")) return same_etag(value, current.etag, Compare::strong);
  const auto date = date_of(headers, HeaderId::if_range);
  return date && current.last_modified && *date == *current.last_modified;
}

// Digits only; a number too large for us is larger than any file.
std::optional<uint64_t> position(std::string_view digits) {
  if (digits.empty() || !std::all_of(digits.begin(), digits.end(), is_digit)) return std::nullopt;
  return parse_u64(digits).value_or(UINT64_MAX);
}

// "bytes=0-499", "bytes=500-", "bytes=-500" (§14.1.2).
RangeChoice parse_range(std::string_view value, uint64_t size) {
  constexpr std::string_view kUnit = "bytes=";
  constexpr RangeChoice kWhole{};
  constexpr RangeChoice kUnsatisfiable{RangeChoice::Kind::unsatisfiable};
  if (value.size() < kUnit.size() || !iequals(value.substr(0, kUnit.size()), kUnit)) return kWhole;
  const std::string_view range = trim(value.substr(kUnit.size()));
  const size_t dash = range.find('-');
  if (dash == std::string_view::npos) return kWhole;
  const std::string_view first_text = range.substr(0, dash);
  const auto last = position(range.substr(dash + 1));
  if (first_text.empty()) {
    if (!last) return kWhole;
    if (*last == 0) return kUnsatisfiable;
    if (size == 0) return kWhole;  // satisfiable, but Content-Range cannot say "nothing"
    const uint64_t length = std::min(*last, size);
    return {RangeChoice::Kind::part, size - length, length};
  }
  const auto first = position(first_text);
  if (!first || (!last && dash + 1 != range.size())) return kWhole;
  if (last && *last < *first) return kWhole;
  if (*first >= size) return kUnsatisfiable;
  const uint64_t end = std::min(last.value_or(UINT64_MAX), size - 1);
  return {RangeChoice::Kind::part, *first, end - *first + 1};
}

}  // namespace

Condition evaluate_conditions(const http::HeaderMap& headers, const Validators& current) {
  if (headers.has(HeaderId::if_match)) {
    if (!lists_etag(headers, HeaderId::if_match, current.etag, Compare::strong)) return Condition::failed;
  } else if (const auto date = date_of(headers, HeaderId::if_unmodified_since); date && current.last_modified) {
    if (*current.last_modified > *date) return Condition::failed;
  }
  if (headers.has(HeaderId::if_none_match)) {
    if (lists_etag(headers, HeaderId::if_none_match, current.etag, Compare::weak)) return Condition::not_modified;
  } else if (const auto date = date_of(headers, HeaderId::if_modified_since); date && current.last_modified) {
    if (*current.last_modified <= *date) return Condition::not_modified;
  }
  return Condition::proceed;
}

RangeChoice choose_range(const http::HeaderMap& headers, const Validators& current, uint64_t size) {
  if (!headers.has(HeaderId::range) || headers.count(HeaderId::range) != 1) return {};
  if (!if_range_holds(headers, current)) return {};
  return parse_range(headers.value(HeaderId::range), size);
}

}  // namespace sluice::proxy
