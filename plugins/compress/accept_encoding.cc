#include "compress/accept_encoding.h"

#include <algorithm>

#include "common/header_syntax.h"

namespace sluice::compress {

namespace {

std::string_view trimmed(std::string_view text) {
  text.remove_prefix(std::min(text.find_first_not_of(" \t"), text.size()));
  return text.substr(0, text.find_last_not_of(" \t") + 1);
}

// qvalue = ( "0" [ "." 0*3DIGIT ] ) / ( "1" [ "." 0*3("0") ] )
std::optional<uint16_t> parse_weight(std::string_view text) {
  if (text.empty() || text.size() > 5 || (text[0] != '0' && text[0] != '1')) return std::nullopt;
  if (text.size() > 1 && text[1] != '.') return std::nullopt;
  unsigned weight = 0;
  for (size_t i = 0; i < 5; ++i) {
    if (i == 1) continue;
    const char digit = i < text.size() ? text[i] : '0';
    if (digit < '0' || digit > '9') return std::nullopt;
    weight = weight * 10 + static_cast<unsigned>(digit - '0');
  }
  if (weight > 1000) return std::nullopt;
  return static_cast<uint16_t>(weight);
}

}  // namespace

std::string_view name(Coding coding) {
  static constexpr std::string_view kNames[kCodings] = {"gzip", "br", "zstd"};
  return kNames[static_cast<size_t>(coding)];
}

void AcceptEncoding::add(std::string_view value) {
  while (!value.empty()) {
    const size_t comma = std::min(value.find(','), value.size());
    add_element(trimmed(value.substr(0, comma)));
    value.remove_prefix(std::min(comma + 1, value.size()));
  }
}

void AcceptEncoding::add_element(std::string_view element) {
  const size_t semicolon = std::min(element.find(';'), element.size());
  const std::string_view coding = trimmed(element.substr(0, semicolon));
  std::optional<uint16_t> weight = 1000;
  if (semicolon < element.size()) {
    const std::string_view parameter = trimmed(element.substr(semicolon + 1));
    if (parameter.size() < 2 || lower(parameter[0]) != 'q' || parameter[1] != '=') return;
    weight = parse_weight(parameter.substr(2));
  }
  if (!weight) return;
  if (coding == "*") {
    rest_ = weight;
  } else if (equals_ignoring_case(coding, "identity")) {
    identity_ = weight;
  } else if (equals_ignoring_case(coding, "x-gzip")) {
    weights_[static_cast<size_t>(Coding::gzip)] = weight;
  } else {
    for (size_t i = 0; i < kCodings; ++i) {
      if (equals_ignoring_case(coding, name(static_cast<Coding>(i)))) weights_[i] = weight;
    }
  }
}

std::optional<Coding> AcceptEncoding::choose(std::span<const Coding> offered) const {
  std::optional<Coding> best;
  uint16_t best_weight = 0;
  for (const Coding coding : offered) {
    const uint16_t weight = weights_[static_cast<size_t>(coding)].value_or(rest_.value_or(0));
    if (weight <= best_weight) continue;
    best = coding;
    best_weight = weight;
  }
  return identity_.value_or(0) > best_weight ? std::nullopt : best;
}

}  // namespace sluice::compress
