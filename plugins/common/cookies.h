// The cookies of a request (RFC 6265 §5.4) by their name, as lenient servers behind the gateway read them: white space around a name
// and a value is no part of it.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace sluice {

/// The cookies of one name in a request, gathered field by field.
struct NamedCookies {
  explicit NamedCookies(std::string_view wanted) : name(wanted) {}

  /// One Cookie field of the request.
  void add(std::string_view field);

  std::string_view name;
  std::string_view value;  // of the first
  size_t count = 0;
  bool ambiguous = false;  // they have different values
};

/// Appends what a Cookie field says without the cookies called `name`, the others byte for byte.
void leave_out(std::string_view field, std::string_view name, std::string& out);

}  // namespace sluice
