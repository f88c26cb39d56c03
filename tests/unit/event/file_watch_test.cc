#include "event/file_watch.h"

#include <sys/stat.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <vector>

#include "../control/temporary_folder.h"

using namespace sluice;
using control::TemporaryFolder;
using event::FileWatch;
using event::Loop;

namespace {

namespace fs = std::filesystem;

constexpr Millis kDeadline{10'000};

// A watch with a loop that runs until it calls back.
struct Fixture {
  explicit Fixture(FileWatch::Pace pace = {.quiet = Millis(20), .longest = Millis(200)})
      : watch(
            loop, [this](const std::string& path) { on_change(path); }, pace) {}

  void on_change(const std::string& path) {
    changed.push_back(path);
    loop.stop();
  }

  void follow(const std::vector<std::string>& files, const std::vector<std::string>& patterns = {}) {
    SourceFiles sources;
    for (const std::string& file : files) sources.add(file);
    for (const std::string& pattern : patterns) sources.add_pattern(pattern);
    watch.follow(sources);
  }

  // The next path told, or nothing at the deadline.
  std::string next(Millis deadline = kDeadline) {
    changed.clear();
    event::Timer end(
        loop.timers(), [](void* self) { static_cast<Loop*>(self)->stop(); }, &loop);
    end.set(MonoClock::now() + deadline);
    loop.run();
    return changed.empty() ? "nothing" : changed.front();
  }

  TemporaryFolder folder;
  Loop loop;
  std::vector<std::string> changed;
  FileWatch watch;
};

// Writes a.yaml every 20 ms.
struct Writer {
  Writer(Fixture& f, int count)
      : fixture(f),
        left(count),
        timer(
            f.loop.timers(), [](void* self) { static_cast<Writer*>(self)->write(); }, this) {
    timer.set(MonoClock::now());
  }
  void write() {
    fixture.folder.write("a.yaml", std::to_string(left));
    if (--left > 0) timer.set(fixture.loop.now() + Millis(20));
  }

  Fixture& fixture;
  int left;
  event::Timer timer;
};

// How many watches the process has on the folder with this inode.
size_t watches_of(ino_t inode) {
  char wanted[32];
  std::snprintf(wanted, sizeof(wanted), " ino:%lx ", static_cast<unsigned long>(inode));
  size_t count = 0;
  for (const auto& descriptor : fs::directory_iterator("/proc/self/fdinfo")) {
    std::ifstream lines(descriptor.path());
    for (std::string line; std::getline(lines, line);) {
      if (line.starts_with("inotify wd:") && line.find(wanted) != std::string::npos) ++count;
    }
  }
  return count;
}

void swap_link(const std::string& target, const std::string& link) {
  fs::create_symlink(target, link + ".new");
  fs::rename(link + ".new", link);
}

}  // namespace

TEST_CASE("whatever way a file is changed in is told", "[watch]") {
  Fixture f;
  const std::string path = f.folder.write("conf/a.yaml", "one");
  f.follow({path});
  for (int round = 0; round < 2; ++round) {  // the watch goes on
    f.folder.write("conf/a.yaml", "written in place");
    CHECK(f.next() == path);
    std::ofstream(path, std::ios::app) << "more";
    CHECK(f.next() == path);
    f.folder.write("conf/.a.swp", "renamed over");
    fs::rename(f.folder / "conf/.a.swp", path);
    CHECK(f.next() == path);
    fs::rename(path, path + "~");
    CHECK(f.next() == path);
    f.folder.write("conf/a.yaml", "made anew");
    CHECK(f.next() == path);
    fs::remove(path);
    CHECK(f.next() == path);
    f.folder.write("conf/a.yaml", "and again");
    CHECK(f.next() == path);
    CHECK(::truncate(path.c_str(), 1) == 0);
    CHECK(f.next() == path);
  }
}

TEST_CASE("a link on the way that is swapped is told, and from then on its new target is followed", "[watch]") {
  Fixture f;
  f.folder.write("conf/..2026_1/config.yaml", "one");
  f.folder.write("conf/..2026_2/config.yaml", "two");
  fs::create_symlink("..2026_1", f.folder / "conf/..data");
  fs::create_symlink("..data/config.yaml", f.folder / "conf/config.yaml");
  const std::string path = f.folder / "conf/config.yaml";
  f.follow({path});
  swap_link("..2026_2", f.folder / "conf/..data");
  CHECK(f.next() == path);
  fs::remove_all(f.folder / "conf/..2026_1");
  f.folder.write("conf/..2026_2/config.yaml", "two, written over");
  CHECK(f.next() == path);
  f.folder.write("conf/..2026_2/config.yaml", "two, and again");
  CHECK(f.next() == path);
}

TEST_CASE("a link to somewhere else altogether is followed there", "[watch]") {
  Fixture f;
  const TemporaryFolder elsewhere;
  elsewhere.write("deep/real.yaml", "one");
  fs::create_symlink(elsewhere / "deep", f.folder / "near");
  fs::create_symlink("near/../deep/real.yaml", f.folder / "config.yaml");
  const std::string path = f.folder / "config.yaml";
  f.follow({path});
  elsewhere.write("deep/real.yaml", "written");
  CHECK(f.next() == path);
  fs::rename(elsewhere / "deep", elsewhere / "moved");
  CHECK(f.next() == path);
  fs::rename(elsewhere / "moved", elsewhere / "deep");
  CHECK(f.next() == path);
}

TEST_CASE("a folder that goes and comes back is two changes, at any height", "[watch]") {
  Fixture f;
  const std::string path = f.folder.write("one/two/three/a.yaml", "first");
  f.follow({path});
  for (const char* gone : {"one/two/three", "one"}) {
    fs::remove_all(f.folder / gone);
    CHECK(f.next() == path);
    f.folder.write("one/two/three/a.yaml", "back");
    CHECK(f.next() == path);
  }
  f.folder.write("other/two/three/a.yaml", "another");
  fs::rename(f.folder / "one", f.folder / "old");
  fs::rename(f.folder / "other", f.folder / "one");
  CHECK(f.next() == path);
  f.folder.write("one/two/three/a.yaml", "written");
  CHECK(f.next() == path);
}

TEST_CASE("a new match of a pattern is told, in a new folder too", "[watch]") {
  Fixture f;
  f.folder.write("conf/teams/a/routes.d/1.yaml", "");
  f.follow({}, {f.folder / "conf/teams/*/routes.d/*.yaml", f.folder / "conf/later.d/*.yaml"});
  f.folder.write("conf/teams/a/routes.d/2.yaml", "");
  CHECK(f.next() == f.folder / "conf/teams/a/routes.d/2.yaml");
  f.folder.write("conf/teams/b/routes.d/1.yaml", "");
  CHECK(f.next() == f.folder / "conf/teams/b/routes.d/1.yaml");
  f.folder.write("conf/later.d/1.yaml", "");
  CHECK(f.next() == f.folder / "conf/later.d/1.yaml");
  fs::remove(f.folder / "conf/teams/a/routes.d/1.yaml");
  CHECK(f.next() == f.folder / "conf/teams/a/routes.d/1.yaml");
}

TEST_CASE("what else happens in a folder is not told", "[watch]") {
  Fixture f;
  const std::string path = f.folder.write("a.yaml", "");
  f.follow({path}, {f.folder / "*.yaml"});
  f.folder.write("a.yaml~", "");
  f.folder.write("access.log", "line");
  CHECK(f.next(Millis(100)) == "nothing");
  f.folder.write("b.yaml", "");  // and the watch was awake
  CHECK(f.next() == f.folder / "b.yaml");
}

TEST_CASE("what changed before it is followed, but after it was read, is told", "[watch]") {
  Fixture f;
  SourceFiles sources;
  sources.add(f.folder.write("a.yaml", "read"));
  f.folder.write("a.yaml", "changed");
  f.watch.follow(sources);
  CHECK(f.next() == f.folder / "a.yaml");
}

TEST_CASE("files that are followed no more are not told of", "[watch]") {
  Fixture f;
  const std::string first = f.folder.write("one/a.yaml", "");
  const std::string second = f.folder.write("two/b.yaml", "");
  const auto watched_folders = [&](const std::string& name) {
    struct stat found {};
    REQUIRE(::stat((f.folder / name).c_str(), &found) == 0);
    return watches_of(found.st_ino);
  };
  f.follow({first});
  CHECK(watched_folders("one") == 1);
  f.follow({second});
  f.folder.write("one/a.yaml", "changed");
  CHECK(f.next(Millis(100)) == "nothing");
  f.folder.write("two/b.yaml", "changed");
  CHECK(f.next() == second);
  CHECK(watched_folders("one") == 0);
}

TEST_CASE("links that lead in a circle end, and are followed again once they lead somewhere", "[watch]") {
  Fixture f;
  fs::create_symlink("b.yaml", f.folder / "a.yaml");
  fs::create_symlink("./a.yaml", f.folder / "b.yaml");
  f.follow({f.folder / "a.yaml"});
  fs::remove(f.folder / "b.yaml");
  f.folder.write("b.yaml", "a file");
  CHECK(f.next() == f.folder / "a.yaml");
}

TEST_CASE("many changes are one, told when it is quiet", "[watch]") {
  Fixture f({.quiet = Millis(500), .longest = kDeadline});
  const std::string path = f.folder.write("a.yaml", "");
  f.follow({path});
  Writer writer(f, 10);
  CHECK(f.next() == path);
  CHECK(writer.left == 0);
  CHECK(f.next(Millis(700)) == "nothing");
}

TEST_CASE("changes without end are told in the end", "[watch]") {
  Fixture f({.quiet = kDeadline / 2, .longest = Millis(100)});
  const std::string path = f.folder.write("a.yaml", "");
  f.follow({path});
  const Writer writer(f, 1'000'000);
  const MonoTime began = MonoClock::now();
  CHECK(f.next() == path);
  CHECK(MonoClock::now() - began < kDeadline / 2);
}

TEST_CASE("events that the kernel dropped count as a change", "[watch]") {
  size_t queue = 0;
  std::ifstream("/proc/sys/fs/inotify/max_queued_events") >> queue;
  REQUIRE(queue > 0);
  Fixture f;
  const std::string path = f.folder.write("a.yaml", "");
  f.follow({path});
  // The loop does not run: the queue fills with what is of no interest, and the change is not in it.
  for (size_t i = 0; i <= queue / 2; ++i) {  // two events each
    const std::string name = f.folder / ((i % 2 == 0) ? "x" : "y");
    REQUIRE(::mknod(name.c_str(), S_IFREG | 0600, 0) == 0);
    REQUIRE(::unlink(name.c_str()) == 0);
  }
  f.folder.write("a.yaml", "changed");
  CHECK(f.next() == path);
}
