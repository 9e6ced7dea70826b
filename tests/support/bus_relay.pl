# A relay on the system bus of a machine: /run/relay leads to the bus. Every call that sets something is written to /run/relay.log
# in its order, is held for a moment, and before it goes on /run/relay.hook runs with its name, where there is such a file:
# whoever did something else to resolved in between.
# Run as: perl bus_relay.pl MILLISECONDS
use strict; use warnings;
use IO::Handle; use IO::Select; use IO::Socket::UNIX;
my $hold = shift;
$0 = 'bus-relay'; $| = 1;
unlink '/run/relay';
my $door = IO::Socket::UNIX->new(Type => SOCK_STREAM, Local => '/run/relay', Listen => 9) or die "listen: $!";
while (1) {
    my $client = $door->accept or next;
    next if fork;
    my $bus = IO::Socket::UNIX->new(Type => SOCK_STREAM, Peer => '/run/dbus/system_bus_socket') or die "bus: $!";
    open my $log, '>>', '/run/relay.log' or die; $log->autoflush(1);
    my $both = IO::Select->new($client, $bus);
    while (1) {
        for my $from ($both->can_read) {
            my $read = sysread $from, my $bytes, 1 << 16;
            exit unless $read;
            my $to = $from == $client ? $bus : $client;
            if ($from == $client) {
                # A member's name stands in its message with a zero behind.
                while ($bytes =~ /\b(SetLink[A-Za-z]+|RevertLink)\0/g) {
                    my $call = $1;
                    system('sh', '/run/relay.hook', $call) if -e '/run/relay.hook';
                    print $log "$call\n";
                    select undef, undef, undef, $hold / 1000;
                }
            }
            my $at = 0;
            while ($at < $read) { $at += syswrite($to, $bytes, $read - $at, $at) // exit }
        }
    }
}
