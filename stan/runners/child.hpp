// What every runner does as a child process: it ends with its parent, it keeps standard
// output for its progress, and it replaces files as a whole.

#ifndef MANYMODES_RUNNERS_CHILD_HPP
#define MANYMODES_RUNNERS_CHILD_HPP

#include <fcntl.h>
#include <signal.h>
#if defined(__linux__)
#include <sys/prctl.h>
#endif
#include <unistd.h>

#include <cstdio>
#include <fstream>
#include <iostream>
#include <stdexcept>
#include <string>

namespace manymodes {

constexpr int kDiskFails = 4;  // exit status

// Ends this process with the one that asked for the run; false if that has ended already.
inline bool end_with_parent() {
#if defined(__linux__)
  const pid_t parent = getppid();
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  return getppid() == parent;
#else
  return true;
#endif
}

// Returns the standard output that we were given, for progress. What others write to
// standard output goes to the named pipe `prints`, or nowhere.
inline FILE* divert_prints(const std::string& prints) {
  FILE* progress = fdopen(dup(STDOUT_FILENO), "w");
  int target = -1;
  if (!prints.empty()) {
    // Without a reader on this machine (another host of an MPI job), opening would wait.
    target = open(prints.c_str(), O_WRONLY | O_NONBLOCK);
  }
  if (target >= 0) {
    fcntl(target, F_SETFL, fcntl(target, F_GETFL) & ~O_NONBLOCK);
  } else {
    target = open("/dev/null", O_WRONLY);
  }
  if (progress == nullptr || target < 0 || dup2(target, STDOUT_FILENO) < 0) {
    throw std::runtime_error("standard output cannot be led elsewhere");
  }
  close(target);
  return progress;
}

// Writes a file under another name and moves it to its place; ends the process if the
// disk is full or fails. `write` is called with the open stream.
template <typename Write>
void replace_file(const std::string& path, Write write) {
  const std::string partial = path + ".partial";
  std::ofstream out(partial, std::ios::binary);
  write(out);
  out.close();
  if (!out || std::rename(partial.c_str(), path.c_str()) != 0) {
    std::cerr << "cannot write " << path << '\n';
    std::_Exit(kDiskFails);
  }
}

}  // namespace manymodes

#endif
