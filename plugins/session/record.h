// Record: a session as it lies in the store, under a hash of its id. Lines:
//
//   s<version>        or r<key>: a session, or one whose id was changed: the rest is as it was then, <key> is where it went
//   <until>           milliseconds since the epoch: the absolute limit; of a changed id: the end of its grace
//   <generation>      of its subject's sessions; empty without a subject
//   <subject>
//   <data>            what the upstream keeps in it
//
// A change replaces it only where the first line is the one that was read. So nothing is revived, and no change is lost unseen.
//
// Generations are how all sessions of a subject end at once: a random text under a key of the subject, made with its first session,
// removed to log out. A session of another generation than the one that is there, or of one while there is none, is over. No
// clock decides, and a generation that the store lost ends sessions instead of reviving some.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace sluice::session {

struct Record {
  enum class Kind : char { live = 's', rotated = 'r' };

  Kind kind = Kind::live;
  std::string_view mark;  // the version, another one after each change; rotated: the successor's key
  int64_t until_ms = 0;
  std::string_view generation;
  std::string_view subject;
  std::string_view data;

  /// What the value begins with as long as it is this one.
  [[nodiscard]] std::string front() const { return static_cast<char>(kind) + std::string(mark) + '\n'; }
};

/// What any live session's value begins with.
constexpr std::string_view kLiveFront = "s";

/// Views into `value`; nothing if it is not one.
std::optional<Record> parse_record(std::string_view value);
std::string write_record(const Record& record);

enum class Standing : uint8_t {
  good,
  over,        // past its limit, or its grace
  logged_out,  // its subject's sessions were ended, or its cookie names another subject
};
/// `generation`: the one that is there for the subject that the cookie names by its tag; empty if there is none, or no tag.
Standing standing_of(const Record& record, bool tagged, std::string_view generation, int64_t now_ms);

}  // namespace sluice::session
