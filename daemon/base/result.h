// Result<T>: a value or an Error, with std::expected's names (GCC 12 has none). Never allocates for the error.
// Error carries a Reason, whose row knows the side at fault, the HTTP status and whether a retry may help.
#pragma once

#include <optional>
#include <utility>
#include <variant>

#include "base/assert.h"
#include "base/reason.h"

namespace sluice {

struct Error {
  Reason reason = Reason::internal_error;
  const char* detail = "";  // static text: what exactly was wrong, for the log; never null

  friend bool operator==(const Error& a, const Error& b) { return a.reason == b.reason; }
};

template <typename T>
class [[nodiscard]] Result {
 public:
  Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}  // NOLINT: implicit, as std::expected
  Result(Error error) : state_(std::in_place_index<1>, error) {}         // NOLINT
  Result(Reason reason) : Result(Error{reason}) {}                       // NOLINT

  [[nodiscard]] bool has_value() const { return state_.index() == 0; }
  explicit operator bool() const { return has_value(); }

  T& value() & { return (SL_ASSERT(has_value()), *std::get_if<0>(&state_)); }
  const T& value() const& { return (SL_ASSERT(has_value()), *std::get_if<0>(&state_)); }
  T&& value() && { return (SL_ASSERT(has_value()), std::move(*std::get_if<0>(&state_))); }
  T& operator*() & { return value(); }
  const T& operator*() const& { return value(); }
  T&& operator*() && { return std::move(*this).value(); }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }

  [[nodiscard]] const Error& error() const { return (SL_ASSERT(!has_value()), *std::get_if<1>(&state_)); }

 private:
  std::variant<T, Error> state_;
};

template <>
class [[nodiscard]] Result<void> {
 public:
  Result() = default;
  Result(Error error) : error_(error) {}            // NOLINT
  Result(Reason reason) : Result(Error{reason}) {}  // NOLINT

  [[nodiscard]] bool has_value() const { return !error_.has_value(); }
  explicit operator bool() const { return has_value(); }
  [[nodiscard]] const Error& error() const { return (SL_ASSERT(!has_value()), *error_); }

 private:
  std::optional<Error> error_;
};

}  // namespace sluice
