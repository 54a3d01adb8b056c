// states.hpp - the states of a TCP socket by the numbers that /proc/net/tcp has for them (include/net/tcp_states.h of
// Linux), spelled as netstat does; RFC 9293 and ss write TIME-WAIT. Everything here that names a state asks this table.
#pragma once

namespace tcp {

enum class State {
    established = 1,
    syn_sent,
    syn_recv,
    fin_wait1,
    fin_wait2,
    time_wait,
    closed,  // no table shows it: the socket is gone
    close_wait,
    last_ack,
    listen,
    closing,
    new_syn_recv  // SYN_RECV too: a request that has no socket of its own yet
};

/// The state's name; "?" for a number that is none.
inline const char* state_name(unsigned number) {
    static const char* const names[] = {"?",         "ESTABLISHED", "SYN_SENT", "SYN_RECV",   "FIN_WAIT1",
                                        "FIN_WAIT2", "TIME_WAIT",   "CLOSED",   "CLOSE_WAIT", "LAST_ACK",
                                        "LISTEN",    "CLOSING",     "SYN_RECV"};
    return number < sizeof names / sizeof *names ? names[number] : names[0];
}
inline const char* state_name(State state) { return state_name(unsigned(state)); }

}  // namespace tcp
