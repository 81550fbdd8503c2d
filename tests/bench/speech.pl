#!/usr/bin/perl
# SPDX-License-Identifier: MIT
# An application after Georgiou 2018: three services that talk HTTP in a star. The sender gets recordings of English speech, has
# one of the others write down what is said (pocketsphinx) and the other one put that into Spanish (apertium), and answers it.
#
#	speech.pl speech|translation PORT
#	speech.pl sender PORT SPEECH TRANSLATION     the two others
#	speech.pl alone FILE...                      all of it in one process, without HTTP
#	speech.pl ask SENDER FILE...                 a client
#	speech.pl watch SERVICE                      asks for a sign of life at each moment until standard input ends
#
# A service is HOST:PORT, or HOST:PORT,HOST:PORT for one that is at either. What clients say is lines of JSON.
use strict;
use warnings;
use IO::Select;
use IO::Socket::INET;
use Time::HiRes qw(sleep time);

$| = 1;
$SIG{PIPE} = 'IGNORE';
my $patience = 60; # seconds

# --- the work

sub output_of {
	open(my $h, '-|', @_) or die "$_[0]: $!\n";
	my $text = join ' ', map { s/^\s+|\s+$//gr } <$h>;
	close $h or die "$_[0]: failed: $?\n";
	return $text;
}

sub recognise { return output_of('pocketsphinx_continuous', '-infile', shift, '-logfn', '/dev/null') }

# What is in the text is no option and no file: it comes in by the environment.
sub translate {
	local $ENV{TEXT} = shift;
	local $ENV{LC_ALL} = 'C.UTF-8';
	return output_of('sh', '-c', 'echo "$TEXT" | apertium-destxt -n | sh /usr/share/apertium/modes/eng-spa.mode -g | apertium-retxt');
}

# --- HTTP: messages with a length, on connections that are kept

# First line, body; nothing at the end of the connection; "half" of one.
sub message {
	my ($c, $seconds) = @_;
	my ($in, $may, $end) = ('', IO::Select->new($c), time + ($seconds // 1e9));
	while (1) {
		if ($in =~ /^([^\r]*)(.*?)\r\n\r\n/s) {
			my ($first, $more, $from) = ($1, $2, $+[0]);
			my $length = $more =~ /^Content-Length: *(\d+)/mi ? $1 : 0;
			return ($first, substr $in, $from) if length $in >= $from + $length;
		}
		$may->can_read($end - time) && sysread $c, $in, 65536, length $in or return length $in ? 'half' : ();
	}
}

sub say_to {
	my ($c, $first, $body) = @_;
	my $text = "$first\r\nHost: star\r\nContent-Length: " . length($body) . "\r\n\r\n$body";
	while (length $text) {
		my $n = syswrite($c, $text) or return 0;
		substr $text, 0, $n, '';
	}
	return 1;
}

my %kept;                       # connections, by place
my ($broken, $closed) = (0, 0); # answers that were an error, or did not come to their end; connections that ended without any

# The answer of that place; nothing when it does not answer. A kept connection may have been closed in the meantime, and a new one
# may end with the service that has just taken it.
sub ask_at {
	my ($place, $verb, $body) = @_;
	for my $old (1, 0) {
		my $c = $old ? delete $kept{$place} : IO::Socket::INET->new(PeerAddr => $place, Timeout => 5);
		next if !$c;
		my ($first, $answer) = say_to($c, "$verb / HTTP/1.1", $body) ? message($c, $patience) : ();
		if (($first // '') =~ m{^HTTP/1.1 200 }) {
			$kept{$place} = $c;
			return $answer;
		}
		$first ? $broken++ : $closed++;
	}
	return;
}

my %last; # where a service was found

sub ask {
	my ($service, $verb, $body) = @_;
	my $found = $last{$service} // '';
	for my $place (sort { ($b eq $found) <=> ($a eq $found) } split /,/, $service) {
		my $answer = ask_at($place, $verb, $body // '');
		$last{$service} = $place, return $answer if defined $answer;
	}
	return;
}

# A service is asked again while it is on its way.
sub ask_until {
	my ($end, $tries) = (time + $patience, 0);
	while (1) {
		my $answer = ask(@_);
		return ($answer, $tries) if defined $answer;
		die "$_[0]: no answer\n" if time > $end;
		$tries++;
		sleep 0.1;
	}
}

# --- a service: a process for each connection. Told to end, it answers what it has been asked.

my ($idle, $ending) = (0, 0);

sub serve_one {
	my ($c, $do) = @_;
	$SIG{TERM} = sub { exit 0 if $idle; $ending = 1 };
	while (!$ending) {
		$idle = 1;
		my ($first, $body) = message($c);
		$idle = 0;
		last if !$first;
		my $answer = $first =~ /^GET/ ? "well\n" : eval { $do->($body) };
		last if !say_to($c, defined $answer ? 'HTTP/1.1 200 OK' : 'HTTP/1.1 500 Failed', $answer // $@);
	}
	exit 0;
}

sub serve {
	my ($port, $do) = @_;
	my $s = IO::Socket::INET->new(LocalPort => $port, Listen => 64, ReuseAddr => 1) or die "port $port: $!\n";
	my %children;
	local $SIG{TERM} = sub { $ending = 1 };
	local $SIG{CHLD} = sub { };
	while (!$ending) {
		my $c = $s->accept;
		for (keys %children) { delete $children{$_} if waitpid($_, 1) } # WNOHANG
		next if !$c;
		my $pid = fork // next;
		serve_one($c, $do) if !$pid;
		$children{$pid} = 1;
	}
	close $s;
	kill 'TERM', keys %children;
	waitpid $_, 0 for keys %children;
}

sub with_file {
	my $file = "/tmp/$$.wav";
	open(my $h, '>', $file) or die "$file: $!\n";
	print $h shift;
	close $h or die "$file: $!\n";
	my $text = recognise($file);
	unlink $file;
	return $text;
}

# --- clients

sub quoted { return '"' . (shift =~ s/["\\]/\\$&/gr) . '"' }

sub content {
	open(my $h, '<:raw', shift) or die "$!\n";
	local $/;
	return scalar <$h>;
}

sub each_file {
	my ($do, @files) = @_;
	for my $file (@files) {
		my $from = time;
		my ($text, $tries) = $do->($file);
		printf qq({"file":%s,"ms":%.1f,"text":%s,"unanswered":%d,"broken":%d}\n), quoted($file =~ s{.*/}{}r), 1000 * (time - $from),
			quoted($text), $tries // 0, $broken;
		$broken = 0;
	}
}

# Every other time on the connection that is there, else on a new one.
sub watch {
	my $service = shift;
	my $in = IO::Select->new(\*STDIN);
	my ($asked, $missed, $worst, $since) = (0, 0, 0, time);
	while (!$in->can_read(0.1)) {
		%kept = () if $asked++ % 2;
		my $well = defined ask($service, 'GET');
		my $now = time;
		print "ready\n" if $asked == 1;
		$since = $now if $asked == 1;
		$missed++, next if !$well;
		$worst = $now - $since if $now - $since > $worst;
		$since = $now;
	}
	printf qq({"asked":%d,"errors":%d,"closed":%d,"worst_ms":%.1f}\n), $asked, $missed + $broken, $closed, 1000 * $worst;
}

my ($what, @args) = @ARGV;
my %does = (
	speech => sub { serve($args[0], \&with_file) },
	translation => sub { serve($args[0], \&translate) },
	sender => sub { serve($args[0], sub { (ask_until($args[2], 'POST', (ask_until($args[1], 'POST', $_[0]))[0]))[0] }) },
	alone => sub { each_file(sub { translate(recognise(shift)) }, @args) },
	ask => sub { my $service = shift @args; each_file(sub { ask_until($service, 'POST', content(shift)) }, @args) },
	watch => sub { watch(@args) },
);
my $do = $does{$what // ''} or die "speech.pl: not understood\n";
$do->();
