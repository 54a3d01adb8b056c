# foretell.sh - sourced by verbs.sh for labs/collect: the verbs a third time. Nothing is done and nobody asked; what the lab would claim
# and ask of a student is written down as a run of theirs would have it: checks.txt and transcript.txt. So a hand-in is compared with
# what its name leads to, and no list of what varies is kept beside the labs. Hosts as netns makes them, with all rights.

say() { printf '%s\n' "$@" >>"$LAB_LOG/transcript.txt"; }
show() { cat >>"$LAB_LOG/transcript.txt"; }
heading() { say "" "$*"; }
prompt() { :; }
explain() { :; }
lab() {
    can_capture=yes can_root=yes can_sysctl=yes first_port=8990 address_vit001=10.98.0.1 address_vit002=10.98.0.2 address_vit003=10.98.0.3
    vit001=vit001 vit002=vit002 vit003=vit003 address6_vit001=fd98::1 address6_vit002=fd98::2 address6_vit003=fd98::3
}
capture() { :; }
launch() { :; }
type() { :; }
eof() { :; }
on() { :; }
stop() { :; }
snapshot() { :; }
eventually() { :; }
equals() { :; }
of_program() { :; }
# settle CLAIM EVIDENCE [eventually equals state STATE NAME]: it is so.
settle() {
    [ "${5:-}" != state ] || claimed_state=$6
    passed "$1"
}
packets() { passed "$1's packets: $2"; }
finish() { :; }
fail() { exit 1; }

# Looks: what a script reckons with may be any number.
for look in host_exec local_of sockets timers owner recv_q send_q port_of accept_queues count_state children_of zombies_of sockets_held listeners \
    output_of last_line bytes_printed logged count_logged ports_of size_of printed_on segments count_segments gap pid_of; do
    eval "$look() { echo 1; }"
done
state() { echo "$claimed_state"; }
show_timers() { :; }
show_output() { :; }
show_segments() { :; }
