/** Disposes of resources in reverse order (DisposableStack, which Node 20 lacks). */
export class Owner implements Disposable {
	readonly #held: Disposable[] = [];

	use<T extends Disposable>(thing: T): T {
		this.#held.push(thing);
		return thing;
	}

	[Symbol.dispose](): void {
		for (const thing of this.#held.splice(0).reverse()) thing[Symbol.dispose]();
	}
}
