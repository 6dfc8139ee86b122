// One chain of Metropolis adjusted microcanonical trajectories over a compiled Stan program.
//
//   microcanonical_run CONFIG
//
// CONFIG is a text file of "key value" lines (see `read_config`). The chain is that of
// chain.hpp. BridgeStan's shared object is opened here, and no interpreter is in the loop.
// At the end draws and statistics go to the output file, and a line "@done" to standard
// output.
//
// Exit status: 0 finished; 2 the configuration, the library or the start cannot be used;
// 4 the disk is full or fails.

#include <cstdint>
#include <cstdio>
#include <iostream>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

#include "microcanonical/chain.hpp"
#include "runners/bridge_model.hpp"
#include "runners/child.hpp"
#include "runners/configuration.hpp"

namespace {

struct Config {
  std::string model_library, data_file, output, prints;
  manymodes::ChainSettings chain;
  std::uint64_t seed = 0;
};

std::vector<double> numbers(const std::string& value) {
  std::istringstream in(value);
  std::vector<double> found;
  for (double one; in >> one;) {
    found.push_back(one);
  }
  return found;
}

Config read_config(const char* path) {
  Config config;
  manymodes::read_configuration(path, [&config](const std::string& key, const std::string& value) {
    if (key == "model_library") config.model_library = value;
    else if (key == "data_file") config.data_file = value;
    else if (key == "output") config.output = value;
    else if (key == "prints") config.prints = value;
    else if (key == "seed") config.seed = std::stoull(value);
    else if (key == "start") config.chain.start = numbers(value);
    else if (key == "warmup") config.chain.warmup = std::stoul(value);
    else if (key == "draws") config.chain.draws = std::stoul(value);
    else if (key == "acceptance") config.chain.acceptance = std::stod(value);
    else if (key == "most_gradients") config.chain.most_gradients = std::stod(value);
    else if (key == "seconds") config.chain.seconds = std::stod(value);
    else return false;
    return true;
  });
  return config;
}

}  // namespace

int main(int argc, char** argv) {
  if (!manymodes::end_with_parent()) {
    return 2;
  }
  try {
    if (argc != 2) {
      throw std::runtime_error("usage: microcanonical_run CONFIG");
    }
    const Config config = read_config(argv[1]);
    FILE* progress = manymodes::divert_prints(config.prints);
    manymodes::BridgeModel model;
    model.open(config.model_library, config.data_file, static_cast<unsigned>(config.seed));
    manymodes::Chain(&model, config.chain, config.seed).run(config.output);
    std::fprintf(progress, "@done\n");
    std::fflush(progress);
  } catch (const std::exception& error) {
    std::cerr << error.what() << '\n';
    return 2;
  }
  return 0;
}
