// The back ends for real hosts, and the doctor: tests/hosts/rig makes three hosts with a real sshd each, and
// tests/hosts/scenario has what is tried on them; a scenario's last line says what is wrong.
#include "catch.hpp"
#include "support.hpp"

#include <cstdlib>

using namespace test;

namespace {

std::string output_of(const std::string& command, int& status) {
    std::string output;
    status = finish(popen((command + " 2>&1 </dev/null").c_str(), "r"), output);
    return output;
}

// Why the rig cannot be had on this machine; empty when it can.
std::string missing() {
    int status;
    output_of("PATH=$PATH:/usr/sbin:/sbin; command -v sshd && command -v ssh", status);
    if (status) return "no sshd here (openssh-server): the ssh back end is not tested";
    output_of("tests/hosts/rig true", status);
    if (status) return "three hosts with sshd cannot be made here: the ssh back end is not tested";
    return "";
}

void scenario(const std::string& name, const std::string& options = "") {
    static const std::string why = missing();
    if (!why.empty()) {
        WARN(why);
        return;
    }
    int status;
    std::string output =
        output_of("timeout -k 5 400 tests/hosts/rig " + options + " tests/hosts/scenario " + name, status);
    INFO(output);
    if (status == 4) WARN(name << ": no nft, or no sudo to be had here: not tested");
    else CHECK(status == 0);
}

}  // namespace

TEST_CASE("an ordinary user, nothing shared, no right to capture: programs are shipped, states only, said aloud",
          "[hosts]") {
    scenario("states_only", "--own-home");
}
TEST_CASE("an ordinary user whose tcpdump may capture: packets, states, clocks, and nothing left behind", "[hosts]") {
    scenario("everything", "--capture");
}
TEST_CASE("hosts whose cards segment and join: the doctor says so, and labs pass", "[hosts]") {
    scenario("offload", "--capture --offload");
}
TEST_CASE("a lab through any command that runs commands on hosts", "[hosts]") { scenario("any_command"); }
TEST_CASE("words arrive on a host unchanged", "[hosts]") { scenario("words"); }
TEST_CASE("nothing in a hosts file or from a host is executed here", "[hosts]") { scenario("hostile"); }
TEST_CASE("more hosts, called as what the labs have variables for", "[hosts]") { scenario("names"); }
TEST_CASE("hosts that hang or talk without end: the run ends and leaves nothing", "[hosts]") { scenario("endless"); }
TEST_CASE("a class's board on another machine", "[hosts]") { scenario("board", "--own-home"); }
TEST_CASE("two users at once on the same hosts", "[hosts]") { scenario("two_users", "--own-home"); }
TEST_CASE("a run that is interrupted or killed leaves nothing on the hosts", "[hosts]") { scenario("interrupted"); }
TEST_CASE("sshd dies in the middle: said, nothing left, the next run works", "[hosts]") { scenario("sshd_dies"); }
TEST_CASE("the network goes in the middle: said, nothing left, the next run works", "[hosts]") {
    scenario("network_goes");
}
TEST_CASE("a user with sudo: packets, and sysctls that are put back when the connection is cut", "[hosts]") {
    scenario("through_sudo", "--own-home");
}
TEST_CASE("one host refuses before the others are connected: said, and nobody waits", "[hosts]") {
    scenario("one_refuses", "--own-home");
}
TEST_CASE("load from two hosts at once", "[hosts]") { scenario("load", "--own-home"); }
TEST_CASE("the doctor names what is wrong with hosts", "[hosts]") { scenario("doctor_names"); }
TEST_CASE("a host that no run can use: named, with a cure, and nothing is left", "[hosts]") {
    scenario("unusable", "--own-home");
}
TEST_CASE("the doctor names what is wrong between hosts", "[hosts]") { scenario("doctor_pairs"); }
TEST_CASE("the doctor finds and ends what a dead run has left", "[hosts]") { scenario("doctor_cleans", "--own-home"); }
