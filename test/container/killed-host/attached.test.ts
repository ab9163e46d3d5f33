import { killsHosts } from '../../support/kill-hosts.js'

killsHosts('attached', 70)
