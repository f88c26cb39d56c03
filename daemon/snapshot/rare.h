// Rare<T>: a part of a specification that most have not, kept beside it instead of in it, so that what every request
// reads stands close together and a large configuration stays small. Absent, it reads as a T with its defaults. A
// value: copies are deep.
#pragma once

#include <memory>
#include <utility>

namespace sluice::snapshot {

template <typename T>
class Rare {
 public:
  Rare() = default;
  ~Rare() = default;
  Rare(const Rare& other) : value_(other.value_ ? std::make_unique<T>(*other.value_) : nullptr) {}
  Rare(Rare&&) noexcept = default;
  Rare& operator=(Rare other) noexcept {
    value_ = std::move(other.value_);
    return *this;
  }

  const T& operator*() const { return value_ ? *value_ : absent(); }
  const T* operator->() const { return &**this; }
  /// Is there one?
  explicit operator bool() const { return value_ != nullptr; }
  /// To write into; it is there from now on.
  T& make() {
    if (!value_) value_ = std::make_unique<T>();
    return *value_;
  }

 private:
  static const T& absent() {
    static const T kDefaults{};
    return kDefaults;
  }
  std::unique_ptr<T> value_;
};

}  // namespace sluice::snapshot
