#include "compress/compress_config.h"

#include <algorithm>

#include "common/header_syntax.h"

namespace sluice::compress {

namespace {

const std::vector<std::string> kTypes = {"text/*",
                                         "application/json",
                                         "application/*+json",
                                         "application/x-ndjson",
                                         "application/javascript",
                                         "application/xml",
                                         "application/*+xml",
                                         "application/wasm",
                                         "image/svg+xml",
                                         "font/ttf",
                                         "font/otf",
                                         "application/vnd.ms-fontobject"};
const std::vector<std::string> kFlushTypes = {"text/event-stream", "application/x-ndjson"};

std::vector<TypePattern> read_types(const Node& node, const std::vector<std::string>& usual) {
  std::vector<std::string> texts = usual;
  node.read(texts);
  std::vector<TypePattern> patterns;
  for (const std::string& text : texts) {
    if (text.find('/') == std::string::npos || std::count(text.begin(), text.end(), '*') > 1) {
      node.error("\"" + text + "\" is not a media type; write text/html, text/* or application/*+json");
    }
    patterns.emplace_back(text);
  }
  return patterns;
}

}  // namespace

TypePattern::TypePattern(std::string_view text) : exact_(text.find('*') == std::string_view::npos) {
  std::string lowered;
  for (const char c : text) lowered += lower(c);
  prefix_ = lowered.substr(0, lowered.find('*'));
  if (!exact_) suffix_ = lowered.substr(prefix_.size() + 1);
}

bool TypePattern::matches(std::string_view type) const {
  if (exact_) return equals_ignoring_case(type, prefix_);
  return type.size() >= prefix_.size() + suffix_.size() &&
         equals_ignoring_case(type.substr(0, prefix_.size()), prefix_) &&
         equals_ignoring_case(type.substr(type.size() - suffix_.size()), suffix_);
}

std::string_view media_type(std::string_view content_type) {
  const std::string_view type = content_type.substr(0, content_type.find(';'));
  return type.substr(0, type.find_last_not_of(" \t") + 1);
}

bool matches_any(const std::vector<TypePattern>& patterns, std::string_view type) {
  return std::any_of(patterns.begin(), patterns.end(), [type](const TypePattern& each) { return each.matches(type); });
}

Config::Config(Setup& setup)
    : types(read_types(setup["types"], kTypes)), flush_types(read_types(setup["flush_types"], kFlushTypes)) {
  if (const Node node = setup["algorithms"]) {
    codings.clear();
    const auto add = [this](const Node& entry) {
      Coding coding{};
      entry.choose(coding, {{"zstd", Coding::zstd}, {"br", Coding::br}, {"gzip", Coding::gzip}});
      if (std::find(codings.begin(), codings.end(), coding) != codings.end())
        entry.error("stands in this list already");
      codings.push_back(coding);
    };
    if (node.is_list()) node.for_each([&](const Node& entry, std::string_view) { add(entry); });
    if (!node.is_list()) add(node);
    if (codings.empty()) node.error("at least one of zstd, br, gzip is needed");
  }
  const Node given = setup["levels"];
  given["gzip"].read(levels[static_cast<size_t>(Coding::gzip)], 1, 9);
  given["br"].read(levels[static_cast<size_t>(Coding::br)], 0, 11);
  given["zstd"].read(levels[static_cast<size_t>(Coding::zstd)], 1, 19);
  setup["min_length"].read_size(min_length, 0, uint64_t{1} << 30);
  setup["max_streams"].read(max_streams, 1, 65536);
  for (size_t i = 0; i < kCodings; ++i) responses[i] = setup.counter(name(static_cast<Coding>(i)));
  bytes_in = setup.counter("bytes_in");
  bytes_out = setup.counter("bytes_out");
  refused = setup.counter("max_streams_reached");
}

}  // namespace sluice::compress
