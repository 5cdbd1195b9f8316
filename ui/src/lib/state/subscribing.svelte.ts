/** Somebody wants to subscribe: the panel that can do it listens and takes the focus. */
class Subscribing {
  asked = $state(0);

  ask(): void {
    this.asked++;
  }
}

export const subscribing = new Subscribing();
