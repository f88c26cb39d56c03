// JSON that others wrote, by simdjson, and strictly: what two readers could understand differently is refused.
#pragma once

#include <simdjson.h>

#include <optional>
#include <string_view>
#include <vector>

namespace sluice {

/// One thread; keeps its memory for the next text.
class JsonReader {
 public:
  static constexpr size_t kMaxDepth = 32;

  JsonReader();
  /// The value of the whole text, which must be an object. Nothing if it is not, or is nested more than kMaxDepth deep, or if an object
  /// anywhere in it has two members of one name. Lives until the next call.
  std::optional<simdjson::dom::object> read_object(std::string_view text);

 private:
  bool has_twins(simdjson::dom::element value);

  simdjson::dom::parser parser_;
  std::vector<std::string_view> names_;
};

/// The member of that name, if it is a text.
inline std::optional<std::string_view> text_of(const simdjson::dom::object& object, std::string_view name) {
  std::string_view text;
  if (object.at_key(name).get(text) != simdjson::SUCCESS) return std::nullopt;
  return text;
}

}  // namespace sluice
