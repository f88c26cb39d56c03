#include "cli/privileges.h"

#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

#include "base/format.h"
#include "base/unique_fd.h"

namespace sluice::cli {

namespace {

std::string failure(std::string_view what) {
  return fmt::format("{}: {}", what, std::generic_category().message(errno));
}

// The file itself, whatever a link of that name points at by now: the folder may be another user's.
bool give_file(const std::string& path, uid_t user, gid_t group) {
  const UniqueFd file(::open(path.c_str(), O_WRONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  struct stat status {};
  if (!file || ::fstat(file.get(), &status) != 0) return false;
  return !S_ISREG(status.st_mode) || ::fchown(file.get(), user, group) == 0;
}

bool is_now(uid_t user, gid_t group) {
  uid_t real_user = 0, effective_user = 0, saved_user = 0;
  gid_t real_group = 0, effective_group = 0, saved_group = 0;
  return ::getresuid(&real_user, &effective_user, &saved_user) == 0 &&
         ::getresgid(&real_group, &effective_group, &saved_group) == 0 && real_user == user && effective_user == user &&
         saved_user == user && real_group == group && effective_group == group && saved_group == group;
}

}  // namespace

std::string drop_privileges(const std::string& user, const std::string& group, const std::string& own_file) {
  const passwd* account = ::getpwnam(user.c_str());
  if (account == nullptr) return fmt::format("process.user: there is no user \"{}\"", user);
  const uid_t uid = account->pw_uid;
  gid_t gid = account->pw_gid;
  if (!group.empty()) {
    const struct group* named = ::getgrnam(group.c_str());
    if (named == nullptr) return fmt::format("process.group: there is no group \"{}\"", group);
    gid = named->gr_gid;
  }
  if (is_now(uid, gid)) return {};
  if (::geteuid() != 0) return fmt::format("process.user: only root can become \"{}\"", user);
  if (!own_file.empty() && !give_file(own_file, uid, gid))
    return failure("process.user: the access log cannot be given");
  // glibc changes all threads at once.
  if (::initgroups(user.c_str(), gid) != 0) return failure("process.user: initgroups");
  if (::setresgid(gid, gid, gid) != 0) return failure("process.user: setresgid");
  if (::setresuid(uid, uid, uid) != 0) return failure("process.user: setresuid");
  if (!is_now(uid, gid) || (uid != 0 && ::setuid(0) == 0)) return "process.user: root could not be given up";
  // The change made our own /proc/self root's, where the figures of the process are read.
  ::prctl(PR_SET_DUMPABLE, 1);
  return {};
}

}  // namespace sluice::cli
